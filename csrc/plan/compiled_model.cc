// What a compiled model keeps for its plans; plan/program.cc makes these.
#include <set>

#include "plan/program.h"

namespace sanderling {
namespace {

// Bytes of tensors, those of several that share their memory once.
class ByteCount {
 public:
  void add(const Tensor& tensor) {
    if (seen_.insert(tensor.raw()).second) bytes_ += tensor.type().bytes();
  }
  void add(const Graph& graph) {
    for (const Value& value : graph.values)
      if (value.constant) add(*value.constant);
    for (const Node& node : graph.nodes)
      for (const auto& [name, attribute] : node.attributes.all())
        if (const auto* tensor = std::get_if<Tensor>(&attribute)) add(*tensor);
  }
  void add(const CompiledModel& model) {
    add(model.graph());
    for (const auto& [key, tensor] : model.tensors()) add(*tensor);
    for (const auto& subgraph : model.subgraphs()) add(*subgraph);
  }
  size_t bytes() const { return bytes_; }

 private:
  std::set<const void*> seen_;
  size_t bytes_ = 0;
};

}  // namespace

CompiledModel::CompiledModel(Graph graph, const KernelTable& kernels, bool reference)
    : graph_(std::move(graph)), kernels_(kernels), reference_(reference) {
  for (size_t n = 0; n < graph_.nodes.size(); ++n)
    for (const Subgraph& subgraph : graph_.nodes[n].subgraphs)
      subgraphs_[n].push_back(
          std::make_shared<const CompiledModel>(*subgraph.graph, kernels, reference));
}

std::vector<std::unique_ptr<Body>> CompiledModel::make_bodies(size_t node,
                                                              const MakeBody& make_body) const {
  std::vector<std::unique_ptr<Body>> bodies;
  const auto found = subgraphs_.find(node);
  if (found == subgraphs_.end() || !make_body) return bodies;
  for (const auto& model : found->second) bodies.push_back(make_body(model));
  return bodies;
}

std::shared_ptr<const void> CompiledModel::find_or_make(
    const std::string& key, const std::function<std::shared_ptr<const void>()>& make) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const void>& entry = shared_[key];
  if (!entry) entry = make();
  return entry;
}

std::vector<std::shared_ptr<const CompiledModel>> CompiledModel::subgraphs() const {
  std::vector<std::shared_ptr<const CompiledModel>> models;
  for (size_t n = 0; n < graph_.nodes.size(); ++n)
    if (const auto found = subgraphs_.find(n); found != subgraphs_.end())
      models.insert(models.end(), found->second.begin(), found->second.end());
  return models;
}

std::shared_ptr<const Tensor> CompiledModel::find_or_make_tensor(
    const std::string& key, const TensorType& type, const std::function<Tensor()>& make) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = tensors_.find(key);
      found != tensors_.end() && found->second->type() == type)
    return found->second;
  auto made = std::make_shared<const Tensor>(make());
  SANDERLING_ASSERT(made->type() == type, key, " is ", made->type().to_string(), ", expected ",
                    type.to_string());
  has_made_tensors_ = true;
  tensors_[key] = made;
  return made;
}

std::map<std::string, std::shared_ptr<const Tensor>> CompiledModel::tensors() const {
  const std::lock_guard lock(mutex_);
  return tensors_;
}

void CompiledModel::keep_tensor(const std::string& key, Tensor tensor) const {
  const std::lock_guard lock(mutex_);
  tensors_[key] = std::make_shared<const Tensor>(std::move(tensor));
}

bool CompiledModel::has_made_tensors() const {
  for (const auto& [node, models] : subgraphs_)
    for (const auto& model : models)
      if (model->has_made_tensors()) return true;
  const std::lock_guard lock(mutex_);
  return has_made_tensors_;
}

size_t CompiledModel::weight_bytes() const {
  ByteCount count;
  count.add(*this);
  return count.bytes();
}

}  // namespace sanderling
