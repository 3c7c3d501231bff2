#pragma once

#include "graph/graph.h"
#include "onnx/external_data.h"
#include "onnx/model.h"
#include "onnx/opsets.h"

namespace sanderling {

// What an import reads.
struct OnnxFile {
  const OnnxModel& model;  // must have a graph
  const Opsets& opsets;
  const ExternalData& external;
};

// The model's graph, with the bodies of local functions in place of their calls and with subgraphs
// closed: what one reads from the graphs around it are inputs. Every operator must be known.
Graph import_graph(const OnnxFile& file);

}  // namespace sanderling
