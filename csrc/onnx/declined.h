// Operators that the native engine does not have on purpose, with what to do instead.
#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

namespace sanderling {

struct DeclinedOperator {
  std::string_view name;  // as the registry would name it
  std::string_view hint;
};

namespace declined {

inline constexpr std::string_view kZipMap =
    "it makes dictionaries of probabilities. Export without it, as one array: "
    "to_onnx(model, x, options={'zipmap': False}) of skl2onnx, zipmap=False of onnxmltools";
inline constexpr std::string_view kMap =
    "it works on dictionaries, of which the native engine has none. Pass the features as one array";
inline constexpr std::string_view kCategory =
    "it maps strings, of which the native engine has no tensors. Map them to integers before the "
    "model";
inline constexpr std::string_view kString =
    "it works on strings, of which the native engine has no tensors. Prepare text before the model "
    "(a tokenizer beside it), and pass numbers";
inline constexpr std::string_view kSequence =
    "it works on lists of tensors, which the native engine does not run. Export with tensors "
    "(torch.stack or torch.cat in place of a list), or with a fixed number of them";
inline constexpr std::string_view kOptional =
    "it works on optional values, which the native engine does not run. Export the model with the "
    "value, or without";
inline constexpr std::string_view kRandom =
    "it draws random numbers, so that no run could be checked against another. Make them an input "
    "of the model; of dropout, export in evaluation mode (model.eval())";
inline constexpr std::string_view kTraining =
    "it is for training. Export the model for inference (model.eval()), without loss and optimizer";
inline constexpr std::string_view kImage =
    "it reads image files. Decode them before the model (Pillow, OpenCV), and pass pixels";
inline constexpr std::string_view kBlocked =
    "it works on weights that ONNX Runtime has rearranged for one kind of CPU, in blocks whose "
    "size "
    "the file does not say. Save the optimized model with graph_optimization_level "
    "ORT_ENABLE_EXTENDED, or run the original";

// In order of name.
inline constexpr DeclinedOperator kOperators[] = {
    {"Bernoulli", kRandom},
    {"ConcatFromSequence", kSequence},
    {"ImageDecoder", kImage},
    {"Multinomial", kRandom},
    {"NegativeLogLikelihoodLoss", kTraining},
    {"Optional", kOptional},
    {"OptionalGetElement", kOptional},
    {"OptionalHasElement", kOptional},
    {"RandomNormal", kRandom},
    {"RandomNormalLike", kRandom},
    {"RandomUniform", kRandom},
    {"RandomUniformLike", kRandom},
    {"RegexFullMatch", kString},
    {"SequenceAt", kSequence},
    {"SequenceConstruct", kSequence},
    {"SequenceEmpty", kSequence},
    {"SequenceErase", kSequence},
    {"SequenceInsert", kSequence},
    {"SequenceLength", kSequence},
    {"SequenceMap", kSequence},
    {"SoftmaxCrossEntropyLoss", kTraining},
    {"SplitToSequence", kSequence},
    {"StringConcat", kString},
    {"StringNormalizer", kString},
    {"StringSplit", kString},
    {"TfIdfVectorizer", kString},
    {"ai.onnx.ml.CastMap", kMap},
    {"ai.onnx.ml.CategoryMapper", kCategory},
    {"ai.onnx.ml.DictVectorizer", kMap},
    {"ai.onnx.ml.ZipMap", kZipMap},
    {"ai.onnx.preview.training.Adagrad", kTraining},
    {"ai.onnx.preview.training.Adam", kTraining},
    {"ai.onnx.preview.training.Gradient", kTraining},
    {"ai.onnx.preview.training.Momentum", kTraining},
    {"com.microsoft.nchwc.AveragePool", kBlocked},
    {"com.microsoft.nchwc.Conv", kBlocked},
    {"com.microsoft.nchwc.GlobalAveragePool", kBlocked},
    {"com.microsoft.nchwc.GlobalMaxPool", kBlocked},
    {"com.microsoft.nchwc.MaxPool", kBlocked},
    {"com.microsoft.nchwc.ReorderInput", kBlocked},
    {"com.microsoft.nchwc.ReorderOutput", kBlocked},
    {"com.microsoft.nchwc.Upsample", kBlocked},
};
static_assert(std::is_sorted(std::begin(kOperators), std::end(kOperators),
                             [](const DeclinedOperator& a, const DeclinedOperator& b) {
                               return a.name < b.name;
                             }));

}  // namespace declined

// Why there is no such operator and what to do; "" if it is not declined but unknown.
inline std::string_view declined_hint(std::string_view name) {
  const auto* const found = std::lower_bound(
      std::begin(declined::kOperators), std::end(declined::kOperators), name,
      [](const DeclinedOperator& each, std::string_view wanted) { return each.name < wanted; });
  return found != std::end(declined::kOperators) && found->name == name ? found->hint : "";
}

}  // namespace sanderling
