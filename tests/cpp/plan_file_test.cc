// Plans as files (plan/plan_file.h): what is written is read, and whatever else there is is no
// plan.
#include "plan/plan_file.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/table.h"
#include "plan/checksum.h"

namespace sanderling {
namespace {

using Bytes = std::vector<std::byte>;
constexpr size_t kHeaderBytes = 128, kFieldsAt = 80, kFieldsBytes = 88;

const KernelTable& scalar() { return table_named("scalar"); }
PlanKey key_of(int number) {
  PlanKey key{};
  key[5] = static_cast<std::byte>(number);
  return key;
}

// y = x W / 2, perhaps + b, for x [N, 5].
Graph product(bool with_bias) {
  Graph graph;
  const ValueId x = graph.add_value("x");
  std::vector<float> weights(15);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i) - 7.0f;
  const ValueId w =
      graph.add_constant("w", Tensor::of<float>(Shape{5, 3}, std::span<const float>(weights)));
  Node node{.op = "Gemm", .name = "node", .inputs = {x, w}, .outputs = {}, .attributes = {}};
  node.opset = 17;
  if (with_bias)
    node.inputs.push_back(graph.add_constant(
        "b", Tensor::of<float>(Shape{3}, std::span<const float>(weights).first(3))));
  node.attributes.set("alpha", 0.5f);
  node.attributes.set("note", std::string("text"));
  node.attributes.set("numbers", std::vector<int64_t>{1, -2});
  node.attributes.set("table", Tensor::scalar<int64_t>(7));
  const ValueId y = graph.add_value("y");
  node.outputs = {y};
  graph.nodes.push_back(node);
  graph.inputs.push_back({x, DType::kFloat32, {-1, 5}, {"N", ""}});
  graph.outputs.push_back({y, "y", DType::kFloat32, std::vector<int64_t>{-1, 3}, {"N", ""}});
  return graph;
}

// y = x W / 2 + b where c is true, else x W / 2.
Graph choice() {
  Graph graph;
  const ValueId c = graph.add_value("c"), x = graph.add_value("x"), y = graph.add_value("y");
  Node node{.op = "If", .name = "if", .inputs = {c, x}, .outputs = {y}, .attributes = {}};
  node.opset = 17;
  node.formal_inputs = 1;
  node.subgraphs = {{"then_branch", std::make_shared<const Graph>(product(true)), {1}},
                    {"else_branch", std::make_shared<const Graph>(product(false)), {1}}};
  graph.nodes.push_back(node);
  graph.info.metadata["by"] = "hand";
  graph.inputs.push_back({c, DType::kBool, {}, {}});
  graph.inputs.push_back({x, DType::kFloat32, {-1, 5}, {"N", ""}});
  graph.outputs.push_back({y, "y"});
  return graph;
}

std::shared_ptr<const CompiledModel> compiled(Graph graph) {
  auto model = std::make_shared<const CompiledModel>(std::move(graph), scalar());
  for (const auto& part : model->subgraphs())
    part->plan({{DType::kFloat32, Shape{2, 5}}}, {.threads = 1});
  if (model->subgraphs().empty()) model->plan({{DType::kFloat32, Shape{2, 5}}}, {.threads = 1});
  return model;
}

Bytes written(const CompiledModel& model, const PlanKey& key = key_of(1)) {
  Bytes bytes;
  write_plan(model, key, [&](std::span<const std::byte> part) {
    bytes.insert(bytes.end(), part.begin(), part.end());
  });
  return bytes;
}

std::shared_ptr<const CompiledModel> read(const Bytes& bytes, const PlanKey& key = key_of(1),
                                          const KernelTable& kernels = scalar()) {
  const std::shared_ptr<std::byte[]> block = allocate(bytes.size());
  std::copy(bytes.begin(), bytes.end(), block.get());
  return read_plan({block.get(), bytes.size()}, block, key, kernels);
}

uint64_t load(const Bytes& bytes, size_t at) {
  uint64_t value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}
Bytes with(Bytes bytes, size_t at, uint64_t value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
  return bytes;
}
// Gives a file that was changed the checksum that belongs to it.
Bytes sealed(Bytes bytes) {
  Checksum checksum;
  checksum.add(std::span(bytes).first(bytes.size() - 8));
  return with(bytes, bytes.size() - 8, checksum.value());
}

void test_what_is_written_is_read() {
  for (const bool nested : {false, true}) {
    const auto model = compiled(nested ? choice() : product(true));
    CHECK(model->has_made_tensors());
    const Bytes bytes = written(*model);
    const auto again = read(bytes);
    CHECK(again != nullptr);
    if (!again) continue;
    CHECK(written(*again) == bytes);
    CHECK(again->weight_bytes() == model->weight_bytes(), again->weight_bytes());
    // What was packed is there.
    for (const auto& part : again->subgraphs())
      part->plan({{DType::kFloat32, Shape{2, 5}}}, {.threads = 1});
    if (!nested) again->plan({{DType::kFloat32, Shape{2, 5}}}, {.threads = 1});
    CHECK(!again->has_made_tensors());
  }
}

void test_elements_are_aligned_and_stay() {
  auto model = read(written(*compiled(product(true))));
  const auto tensors = model->tensors();
  CHECK(tensors.size() == 2, tensors.size());  // packed weights, bias
  const Tensor weights = *model->graph().values[1].constant;
  model.reset();  // tensors keep the file
  CHECK(reinterpret_cast<uintptr_t>(weights.raw()) % kAlignment == 0);
  CHECK(weights.data<float>()[14] == 7.0f);
  for (const auto& [name, tensor] : tensors)
    CHECK(reinterpret_cast<uintptr_t>(tensor->raw()) % kAlignment == 0, name);
}

// Tensors of other sizes at one address are not one tensor.
void test_tensors_may_share_their_beginning() {
  const auto model = compiled(product(true));
  const std::vector<float> elements(15, 3.0f);
  const auto owner = std::make_shared<const Tensor>(
      Tensor::of<float>(Shape{5, 3}, std::span<const float>(elements)));
  for (const int64_t rows : {1, 5})  // the smaller is written first
    model->keep_tensor("rows " + std::to_string(rows),
                       Tensor::borrowed({DType::kFloat32, Shape{rows, 3}},
                                        static_cast<const std::byte*>(owner->raw()), owner));
  const auto again = read(written(*model));
  CHECK(again != nullptr);
  for (const auto& [name, tensor] : model->tensors()) {
    const std::shared_ptr<const Tensor> kept = again->tensors().at(name);
    CHECK(kept->type() == tensor->type(), name);
    CHECK(std::memcmp(kept->raw(), tensor->raw(), tensor->type().bytes()) == 0, name);
  }
}

void test_another_type_is_made_anew() {
  const auto model = read(written(*compiled(product(true))));
  const TensorType other{DType::kInt8, Shape{1000}};
  const auto made = model->find_or_make_tensor(model->tensors().begin()->first, other,
                                               [&] { return Tensor(other); });
  CHECK(made->type() == other);
  CHECK(model->has_made_tensors());
}

void test_damage_is_no_plan() {
  const Bytes bytes = written(*compiled(choice()));
  for (size_t size = 0; size < bytes.size(); ++size)
    CHECK(!read(Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size))), size);
  for (size_t at = 0; at < bytes.size(); ++at) {
    Bytes wrong = bytes;
    wrong[at] ^= std::byte{0x20};
    CHECK(!read(wrong), at);
  }
  Bytes longer = bytes;
  longer.resize(bytes.size() + 64);
  CHECK(!read(longer));
  CHECK(!read(sealed(longer)));  // the header says how long it is
}

void test_another_key_version_or_isa_is_no_plan() {
  const Bytes bytes = written(*compiled(product(true)));
  CHECK(!read(bytes, key_of(2)));
  CHECK(!read(sealed(with(bytes, 8, load(bytes, 8) + (uint64_t{1} << 32)))));  // version
  CHECK(!read(sealed(with(bytes, 8, load(bytes, 8) ^ 1))));                    // byte order
  for (const KernelTable* table : runnable_tables())
    if (table != &scalar()) CHECK(!read(bytes, key_of(1), *table), table->isa);
}

// With a checksum that fits: nothing is read outside the file, whatever it says (the fuzzer has
// more of it).
void test_lies_are_no_plan() {
  const Bytes bytes = written(*compiled(product(true)));
  const uint64_t fields_at = load(bytes, kFieldsAt), fields_bytes = load(bytes, kFieldsBytes);
  for (const uint64_t lie : {uint64_t{0}, uint64_t{64}, fields_at + 64, fields_at + 1,
                             static_cast<uint64_t>(bytes.size()), ~uint64_t{0}, ~uint64_t{63}})
    CHECK(!read(sealed(with(bytes, kFieldsAt, lie))), lie);
  for (const uint64_t lie : {uint64_t{0}, fields_bytes - 1, fields_bytes + 1, ~uint64_t{0}})
    CHECK(!read(sealed(with(bytes, kFieldsBytes, lie))), lie);
  // Any 8 bytes of the fields: counts, places, extents, numbers of values.
  for (const uint64_t lie : {uint64_t{1} << 20, uint64_t{1} << 40, ~uint64_t{0}}) {
    for (uint64_t at = fields_at; at + 8 <= fields_at + fields_bytes; ++at) {
      const auto model = read(sealed(with(bytes, at, lie)));
      if (model) CHECK(model->graph().nodes.size() == 1, at);
    }
  }
}

void test_checksum() {
  Bytes bytes(kHeaderBytes);
  const auto sum = [&] {
    Checksum checksum;
    checksum.add(bytes);
    return checksum.value();
  };
  const uint64_t zeros = sum();
  for (size_t at = 0; at < bytes.size(); ++at) {
    bytes[at] = std::byte{1};
    CHECK(sum() != zeros, at);
    bytes[at] = std::byte{0};
  }
  bytes.resize(bytes.size() + Checksum::kBlockBytes);
  CHECK(sum() != zeros, "of more zeros");
}

}  // namespace
}  // namespace sanderling

int main() {
  using namespace sanderling;
  test::name_crashes();
  test::run("what is written is read", test_what_is_written_is_read);
  test::run("elements are aligned and stay", test_elements_are_aligned_and_stay);
  test::run("tensors may share their beginning", test_tensors_may_share_their_beginning);
  test::run("another type is made anew", test_another_type_is_made_anew);
  test::run("damage is no plan", test_damage_is_no_plan);
  test::run("another key, version or ISA is no plan", test_another_key_version_or_isa_is_no_plan);
  test::run("lies are no plan", test_lies_are_no_plan);
  test::run("checksum", test_checksum);
  return test::finish();
}
