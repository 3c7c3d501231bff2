// The ONNX reader on bytes that no ONNX library writes, and the checks of the importer. What
// well-formed models mean is compared with the onnx package in tests/onnx.

#include "onnx_test.h"

#include <cstring>

#include "graph/operator.h"
#include "onnx/import.h"
#include "onnx/model.h"

namespace sanderling::test {
namespace {

// Operators that only this program knows, so that it does not depend on which are registered.
void nothing(InferContext&) {}
void nothing_more(const ReferenceContext&) {}
SANDERLING_OPERATOR(TestOp)({.name = "TestOp",
                             .since_opset = 9,
                             .min_inputs = 1,
                             .max_inputs = 3,
                             .infer = nothing,
                             .reference = nothing_more});
SANDERLING_OPERATOR(TestOwn)({.name = "TestOwn", .infer = nothing, .reference = nothing_more});

// ValueInfoProto of a float tensor; no_extent gives a dimension without one, a negative one goes to
// the file as it is.
constexpr int64_t kNoExtent = -99;
Proto value_info(const std::string& name, const std::vector<int64_t>& dims, int64_t type = 1) {
  Proto shape;
  for (int64_t dim : dims) shape.message(1, dim == kNoExtent ? Proto() : Proto().integer(1, dim));
  return Proto().text(1, name).message(
      2, Proto().message(1, Proto().integer(1, type).message(2, shape)));
}

Proto node(const std::string& op, const std::vector<std::string>& inputs,
           const std::vector<std::string>& outputs, const std::string& name = "n") {
  Proto proto;
  for (const auto& input : inputs) proto.text(1, input);
  for (const auto& output : outputs) proto.text(2, output);
  return proto.text(3, name).text(4, op);
}

Proto float_initializer(const std::string& name) {
  return tensor({1}, 1).message(9, Proto().raw(1.0f)).text(8, name);
}

Proto model_of(const Proto& graph, int64_t opset = 17) {
  return Proto().integer(1, 8).message(7, graph).message(8, Proto().integer(2, opset));
}

Graph import(const Proto& proto) { return import_model(proto.bytes()); }

Proto small_graph() {
  return Proto()
      .text(2, "g")
      .message(1, node("TestOp", {"x", "w"}, {"y"}))
      .message(5, float_initializer("w"))
      .message(11, value_info("x", {1}))
      .message(12, value_info("y", {1}));
}

void test_import() {
  const Graph small = import(model_of(small_graph())
                                 .text(2, "maker")
                                 .text(3, "1.2")
                                 .message(14, Proto().text(1, "key").text(2, "value"))
                                 .text(99, "unknown"));
  CHECK(small.name == "g");
  CHECK(small.info.producer_name == "maker" && small.info.producer_version == "1.2");
  CHECK(small.info.opset == 17 && small.info.ir_version == 8);
  CHECK(small.info.metadata.at("key") == "value");
  CHECK(small.nodes.size() == 1 && small.nodes[0].opset == 17);
  CHECK(small.inputs.size() == 1 && small.inputs[0].dims == std::vector<int64_t>{1});
  CHECK(small.outputs[0].dtype == DType::kFloat32 &&
        *small.outputs[0].dims == std::vector<int64_t>{1});
  CHECK(small.constant(small.nodes[0].inputs[1])->data<float>()[0] == 1.0f);

  // An initializer that is listed as an input too, an unnamed node, inputs left out, dimensions of
  // every kind, nodes in the wrong order, a dead node, the default domain's other name.
  const Proto symbolic = Proto().text(1, "x").message(
      2, Proto().message(
             1, Proto().integer(1, 1).message(2, Proto()
                                                     .message(1, Proto().text(2, "batch"))
                                                     .message(1, Proto().integer(1, 0))
                                                     .message(1, Proto())
                                                     .message(1, Proto().integer(1, -1)))));
  const Graph odd = import(
      Proto()
          .message(8, Proto().text(1, "ai.onnx").integer(2, 9))
          .message(7,
                   Proto()
                       .message(1, node("TestOp", {"h", "", "w"}, {"y", ""}, "").text(7, "ai.onnx"))
                       .message(1, node("TestOp", {"x", "", ""}, {"h"}, "first"))
                       .message(1, node("TestOp", {"x"}, {"dead"}, "dead"))
                       .message(5, float_initializer("w"))
                       .message(11, value_info("w", {1}))
                       .message(11, symbolic)
                       .message(12, Proto().text(1, "y"))));
  CHECK(odd.nodes.size() == 2);
  CHECK(odd.nodes[0].name == "first" && odd.nodes[0].inputs.size() == 1);
  CHECK(odd.nodes[1].name == "TestOp_0" && odd.nodes[1].outputs.size() == 1);
  CHECK(odd.nodes[1].inputs.size() == 3 && odd.nodes[1].inputs[1] == kNoValue);
  CHECK(odd.inputs.size() == 1);
  CHECK((odd.inputs[0].dims == std::vector<int64_t>{-1, 0, -1, -1}));
  CHECK((odd.inputs[0].symbols == std::vector<std::string>{"batch", "", "", ""}));
  CHECK(!odd.outputs[0].dtype && !odd.outputs[0].dims);

  // A graph without nodes that hands an input and a constant on.
  const Graph through = import(model_of(Proto()
                                            .message(5, float_initializer("w"))
                                            .message(11, value_info("x", {}))
                                            .message(12, value_info("x", {}))
                                            .message(12, value_info("w", {1}))));
  CHECK(through.nodes.empty() && through.outputs.size() == 2 && through.inputs[0].dims.empty());
}

Proto attribute(const std::string& name, int64_t type) {
  return Proto().text(1, name).integer(20, type);
}

Graph import_attribute(const Proto& proto) {
  return import(model_of(Proto()
                             .message(1, node("TestOp", {"x"}, {"y"}).message(5, proto))
                             .message(11, value_info("x", {1}))
                             .message(12, value_info("y", {1}))));
}

void test_attributes() {
  const auto of = [](const Proto& proto) { return import_attribute(proto).nodes[0].attributes; };
  CHECK(of(attribute("a", 1).tag(2, 5).raw(0.5f)).number("a", 0) == 0.5f);
  CHECK(of(attribute("a", 2).integer(3, -3)).integer("a", 0) == -3);
  CHECK(of(attribute("a", 2)).integer("a", 9) == 0);  // a writer may leave a zero out
  CHECK(of(attribute("a", 3).text(4, "text")).text("a", "") == "text");
  CHECK(of(attribute("a", 4).message(5, tensor({1}, 1).message(9, Proto().raw(2.0f))))
            .tensor("a")
            ->data<float>()[0] == 2.0f);
  CHECK((of(attribute("a", 6).message(7, Proto().raw(1.0f)).tag(7, 5).raw(2.0f)).numbers("a", {}) ==
         std::vector<float>{1, 2}));
  CHECK((of(attribute("a", 7).message(8, Proto().varint(1)).integer(8, -2)).integers("a", {}) ==
         std::vector<int64_t>{1, -2}));
  CHECK((std::get<std::vector<std::string>>(
             of(attribute("a", 8).text(9, "p").text(9, "")).all().at("a")) ==
         std::vector<std::string>{"p", ""}));

  CHECK_FAILS(kModel,
              SAYING("attribute 'body' of node 'n' (TestOp)", "is of type graph and has none"),
              import_attribute(attribute("body", 5)));
  CHECK_FAILS(kModel, SAYING("graph '' has no outputs"),
              import_attribute(attribute("body", 5).message(6, Proto())));
  CHECK_FAILS(kModel, SAYING("of type sparse_tensor and has none"),
              import_attribute(attribute("a", 11)));
  CHECK_FAILS(kUnsupported, SAYING("sparse_tensors"), import_attribute(attribute("a", 12)));
  CHECK_FAILS(kUnsupported, SAYING("attribute 'a' of node 'n'", "complex64"),
              import_attribute(attribute("a", 4).message(5, tensor({1}, 14))));
  CHECK_FAILS(kModel, SAYING("attribute type 0"),
              import_attribute(Proto().text(1, "a").integer(3, 1)));
  CHECK_FAILS(kModel, SAYING("attribute type 77"), import_attribute(attribute("a", 77)));
  CHECK_FAILS(kModel, SAYING("has none"), import_attribute(attribute("a", 4)));
  CHECK_FAILS(kModel, SAYING("two tensors"),
              import_attribute(attribute("a", 4).message(5, Proto()).message(5, Proto())));
  CHECK_FAILS(kModel, SAYING("has no name"), import_attribute(Proto().integer(20, 2)));
  CHECK_FAILS(kModel, SAYING("'k'", "function"), import_attribute(attribute("a", 2).text(21, "k")));
  CHECK_FAILS(kModel, SAYING("not UTF-8"), import_attribute(attribute("a", 3).text(4, "\xFF")));
  const Proto twice =
      node("TestOp", {"x"}, {"y"}).message(5, attribute("a", 2)).message(5, attribute("a", 2));
  CHECK_FAILS(kModel, SAYING("attribute 'a'", "twice"),
              import(model_of(Proto()
                                  .message(1, twice)
                                  .message(11, value_info("x", {1}))
                                  .message(12, value_info("y", {1})))));
}

Proto graph_with(const std::vector<Proto>& nodes) {
  Proto graph = Proto().message(11, value_info("x", {1})).message(12, value_info("y", {1}));
  for (const Proto& each : nodes) graph.message(1, each);
  return graph;
}

void test_import_structure() {
  CHECK_FAILS(kModel, SAYING("no graph"), import(Proto()));
  CHECK_FAILS(kModel, SAYING("no graph"),
              import(Proto().integer(1, 8).message(8, Proto().integer(2, 17))));
  CHECK_FAILS(kModel, SAYING("second graph"),
              import(model_of(small_graph()).message(7, small_graph())));
  CHECK_FAILS(kModel, SAYING("imports no opset"), import(Proto().message(7, small_graph())));
  CHECK_FAILS(kModel, SAYING("has no outputs"), import(model_of(Proto().text(2, "g"))));
  CHECK_FAILS(kModel, SAYING("output 'y'", "produced by no node"),
              import(model_of(graph_with({}))));
  CHECK_FAILS(kModel, SAYING("output 'y'", "listed twice"),
              import(model_of(small_graph().message(12, value_info("y", {1})))));
  CHECK_FAILS(kModel, SAYING("'y' is defined twice", "node 'b'"),
              import(model_of(graph_with(
                  {node("TestOp", {"x"}, {"y"}, "a"), node("TestOp", {"x"}, {"y"}, "b")}))));
  CHECK_FAILS(kModel, SAYING("'x' is defined twice"),
              import(model_of(graph_with({node("TestOp", {"x"}, {"x"})}))));
  CHECK_FAILS(kModel, SAYING("'w' is defined twice", "initializer"),
              import(model_of(small_graph().message(5, float_initializer("w")))));
  CHECK_FAILS(kModel, SAYING("'x' is defined twice", "input"),
              import(model_of(small_graph().message(11, value_info("x", {1})))));
  CHECK_FAILS(kModel, SAYING("[TestOp] node 'n' reads 'z'"),
              import(model_of(graph_with({node("TestOp", {"z"}, {"y"})}))));
  CHECK_FAILS(kModel, SAYING("depends on its own output"),
              import(model_of(graph_with(
                  {node("TestOp", {"x", "h"}, {"y"}, "a"), node("TestOp", {"y"}, {"h"}, "b")}))));
  CHECK_FAILS(kModel, SAYING("has 0 inputs", "1 to 3"),
              import(model_of(graph_with({node("TestOp", {"", ""}, {"y"})}))));
  CHECK_FAILS(kModel, SAYING("input 0 is required"),
              import(model_of(graph_with({node("TestOp", {"", "x"}, {"y"})}))));
  CHECK_FAILS(kModel, SAYING("has 4 inputs", "1 to 3"),
              import(model_of(graph_with({node("TestOp", {"x", "x", "x", "x"}, {"y"})}))));
  CHECK_FAILS(kUnsupported, SAYING("gives 2 outputs"),
              import(model_of(graph_with({node("TestOp", {"x"}, {"y", "z"})}))));
  CHECK_FAILS(kModel, SAYING("no operator type"),
              import(model_of(graph_with({node("", {"x"}, {"y"})}))));
  CHECK_FAILS(kModel, SAYING("initializer ''", "no name"),
              import(model_of(small_graph().message(5, float_initializer("")))));
  CHECK_FAILS(
      kModel, SAYING("initializer 's'", "no element type"),
      import(model_of(small_graph().message(15, Proto().message(1, Proto().text(8, "s"))))));
  // A function that nothing calls changes nothing.
  CHECK(import(model_of(small_graph()).message(25, Proto().text(1, "Mine"))).nodes.size() == 1);
}

void test_import_types() {
  const auto with_input = [](const Proto& info) {
    return import(model_of(Proto().message(11, info).message(12, Proto().text(1, "x"))));
  };
  CHECK_FAILS(kModel, SAYING("input 'x'", "no type"), with_input(Proto().text(1, "x")));
  CHECK_FAILS(kModel, SAYING("input 'x'", "no element type"), with_input(value_info("x", {1}, 0)));
  CHECK_FAILS(kUnsupported, SAYING("input 'x'", "string"), with_input(value_info("x", {1}, 8)));
  CHECK_FAILS(
      kUnsupported, SAYING("input 'x'", "no shape"),
      with_input(Proto().text(1, "x").message(2, Proto().message(1, Proto().integer(1, 1)))));
  CHECK_FAILS(kUnsupported, SAYING("input 'x'", "sequence"),
              with_input(Proto().text(1, "x").message(2, Proto().message(4, Proto()))));
  CHECK_FAILS(kModel, SAYING("9 dimensions"),
              with_input(value_info("x", {1, 1, 1, 1, 1, 1, 1, 1, 1})));
  CHECK_FAILS(kModel, SAYING("input 'x'", "exceeds the limit"),
              with_input(value_info("x", {int64_t{1} << 40, 2, kNoExtent})));
  CHECK_FAILS(kModel, SAYING("4097 bytes", "limit is 4096"),
              with_input(value_info(std::string(4097, 'x'), {1})));
}

void test_import_versions() {
  CHECK_FAILS(kUnsupported, SAYING("opset 6", "from opset 9"), import(model_of(small_graph(), 6)));
  CHECK_FAILS(kUnsupported, SAYING("opset 29", "1 to 28"), import(model_of(small_graph(), 29)));
  CHECK_FAILS(kUnsupported, SAYING("opset 0"), import(model_of(small_graph(), 0)));
  CHECK_FAILS(kUnsupported, SAYING("opset -1"), import(model_of(small_graph(), -1)));
  CHECK_FAILS(kUnsupported, SAYING("[TestOp] node 'n'", "opset 8", "from opset 9"),
              import(model_of(small_graph(), 8)));
  CHECK_FAILS(kModel, SAYING("both opset 17 and opset 18"),
              import(model_of(small_graph()).message(8, Proto().integer(2, 18))));
  CHECK_FAILS(kModel, SAYING("[TestOp]", "no opset"),
              import(Proto()
                         .message(7, small_graph())
                         .message(8, Proto().text(1, "ai.onnx.ml").integer(2, 3))));
  CHECK_FAILS(kUnsupported, SAYING("IR version 99", "up to 14"),
              import(Proto().integer(1, 99).message(7, small_graph())));
}

void test_import_operators() {
  const Proto graph =
      graph_with({node("TestLost", {"x"}, {"a"}, "first"), node("TestOp", {"a"}, {"b"}),
                  node("TestLost", {"b"}, {"c"}, "second"), node("TestOwn", {"c"}, {"d"}, ""),
                  node("TestOp", {"d"}, {"y"}, "foreign").text(7, "com.example")});
  CHECK_FAILS(kUnsupported,
              SAYING("lacks 3 operators", "opset 17", "TestLost (2 nodes, the first is 'first')",
                     "TestOwn (1 node, 'd')", "TestOp of domain 'com.example' (1 node, 'foreign')",
                     "backend='onnxruntime' or backend='auto'"),
              import(model_of(graph)));
}

void test_limits() {
  // Two bytes a node: the count is refused before it costs memory.
  Proto graph;
  for (size_t i = 0; i <= OnnxLimits::kMaxNodes; ++i) graph.message(1, Proto());
  CHECK_FAILS(kModel, SAYING("more than 1048576 nodes"), import(model_of(graph)));
  Proto names;
  for (size_t i = 0; i <= OnnxLimits::kMaxItems; ++i) names.text(1, "");
  CHECK_FAILS(kModel, SAYING("more than 4194304"), import(model_of(Proto().message(1, names))));
  // A chain too long for recursion.
  Proto chain = Proto().message(11, value_info("v0", {1})).message(12, value_info("v100000", {1}));
  for (int i = 0; i < 100000; ++i)
    chain.message(1, node("TestOp", {"v" + std::to_string(i)}, {"v" + std::to_string(i + 1)}));
  CHECK(import(model_of(chain)).nodes.size() == 100000);
}

// Every prefix of a model is a ModelError or, where the cut falls between fields, still a model.
void test_truncation() {
  const Proto whole = Proto()
                          .message(8, Proto().integer(2, 17))
                          .message(7, small_graph())
                          .text(2, "maker")
                          .message(14, Proto().text(1, "key").text(2, "value"));
  size_t valid = 0;
  for (size_t kept = 0; kept < whole.bytes().size(); ++kept) {
    // A copy of the exact size, so that the address sanitizer sees a read past the end.
    const std::vector<std::byte> cut(whole.bytes().begin(),
                                     whole.bytes().begin() + static_cast<long>(kept));
    try {
      import_model(cut);
      ++valid;
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kModel);
    }
  }
  CHECK(valid == 2);  // behind the graph, and behind the producer
}

}  // namespace
}  // namespace sanderling::test

int main() {
  using namespace sanderling::test;
  test_wire();
  test_tensors();
  run("import", test_import);
  run("attributes", test_attributes);
  run("import_structure", test_import_structure);
  run("import_types", test_import_types);
  run("import_versions", test_import_versions);
  run("import_operators", test_import_operators);
  run("limits", test_limits);
  run("truncation", test_truncation);
  return finish();
}
