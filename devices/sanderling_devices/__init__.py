"""What Sanderling brings for devices: today, the demo of one machine with twelve cameras."""
