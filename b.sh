cd /work/wt/core && nice -n 19 ninja -C build/dev -j2 2>&1 | grep -E "error|warning: unused|FAILED|ninja:" -A3 | head -${1:-40}
