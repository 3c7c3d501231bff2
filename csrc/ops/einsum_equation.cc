#include "ops/einsum_equation.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "ops/node_checks.h"

namespace sanderling {
namespace {

// Letters count from 0 by their character codes, so that upper case sorts before lower case as in
// NumPy; "..." is this in a term that is not yet fitted to its operand.
constexpr int kLetters = 128;
constexpr int kEllipsis = -1;
constexpr size_t kIndices = static_cast<size_t>(kLetters + Shape::kMaxRank);

bool contains(const EinsumIndices& indices, int index) {
  return std::find(indices.begin(), indices.end(), index) != indices.end();
}

// "ij...k" as indices.
EinsumIndices parse_term(const InferContext& context, const std::string& equation,
                         const std::string& term) {
  EinsumIndices indices;
  for (size_t i = 0; i < term.size(); ++i) {
    const auto letter = static_cast<unsigned char>(term[i]);
    if (std::isalpha(letter) && letter < kLetters) {
      indices.push_back(letter);
    } else if (term.compare(i, 3, "...") == 0 && !contains(indices, kEllipsis)) {
      indices.push_back(kEllipsis);
      i += 2;
    } else {
      context.error("equation '", equation, "' has the term '", term,
                    "', expected letters and at most one ellipsis");
    }
  }
  return indices;
}

struct Terms {
  std::vector<EinsumIndices> operands;
  bool has_output = false;
  EinsumIndices output;
};

Terms parse(const InferContext& context) {
  const std::string given = context.attributes().text("equation", "");
  std::string equation;
  for (char c : given)
    if (c != ' ') equation += c;
  Terms terms;
  const size_t arrow = equation.find("->");
  std::string left = equation.substr(0, arrow);
  if (arrow != std::string::npos) {
    terms.has_output = true;
    terms.output = parse_term(context, given, equation.substr(arrow + 2));
  }
  for (size_t comma = left.find(','); comma != std::string::npos; comma = left.find(',')) {
    terms.operands.push_back(parse_term(context, given, left.substr(0, comma)));
    left = left.substr(comma + 1);
  }
  terms.operands.push_back(parse_term(context, given, left));
  if (terms.operands.size() != context.inputs())
    context.error("equation '", given, "' has ", terms.operands.size(), " operands, the node has ",
                  context.inputs(), " inputs");
  return terms;
}

// The axes that an ellipsis of `count` axes stands for: the last ones, as they are broadcast.
void push_ellipsis(EinsumIndices& to, int64_t count) {
  for (int64_t i = Shape::kMaxRank - count; i < Shape::kMaxRank; ++i)
    to.push_back(kLetters + static_cast<int>(i));
}

EinsumIndices expand(const EinsumIndices& term, int64_t ellipsis) {
  EinsumIndices indices;
  for (int index : term)
    if (index == kEllipsis)
      push_ellipsis(indices, ellipsis);
    else
      indices.push_back(index);
  return indices;
}

// Without "->": the ellipsis, then what occurs once, sorted.
EinsumIndices implicit_output(const std::vector<EinsumIndices>& operands, int64_t ellipsis) {
  std::vector<int> uses(kIndices, 0);
  for (const EinsumIndices& operand : operands)
    for (int index : operand) ++uses[static_cast<size_t>(index)];
  EinsumIndices output;
  push_ellipsis(output, ellipsis);
  for (int letter = 0; letter < kLetters; ++letter)
    if (uses[static_cast<size_t>(letter)] == 1) output.push_back(letter);
  return output;
}

void fit_extents(const InferContext& context, EinsumEquation& equation) {
  equation.extents.assign(kIndices, 1);
  for (size_t i = 0; i < equation.operands.size(); ++i) {
    const Shape& shape = context.input(i).shape;
    for (int64_t axis = 0; axis < shape.rank(); ++axis) {
      int64_t& extent =
          equation.extents[static_cast<size_t>(equation.operands[i][static_cast<size_t>(axis)])];
      if (extent == 1)
        extent = shape[axis];
      else if (shape[axis] != 1 && shape[axis] != extent)
        context.error("axis ", axis, " of input ", i, " has extent ", shape[axis],
                      ", another axis with the same index has ", extent);
    }
  }
}

void fit_output(const InferContext& context, EinsumEquation& equation) {
  for (size_t i = 0; i < equation.output.size(); ++i) {
    const int index = equation.output[i];
    if (std::count(equation.output.begin(), equation.output.end(), index) > 1)
      context.error("an index occurs twice in the output of equation '",
                    context.attributes().text("equation", ""), "'");
    const bool known = index >= kLetters ||
                       std::any_of(equation.operands.begin(), equation.operands.end(),
                                   [&](const auto& operand) { return contains(operand, index); });
    if (!known)
      context.error("the output's index '", static_cast<char>(index), "' is in no operand");
  }
  for (int index = 0; index < static_cast<int>(kIndices); ++index) {
    const bool occurs = std::any_of(equation.operands.begin(), equation.operands.end(),
                                    [&](const auto& operand) { return contains(operand, index); });
    if (occurs && !contains(equation.output, index)) equation.summed.push_back(index);
  }
}

// So many products would never end; it also keeps their number from overflowing.
void check_products(const InferContext& context, const EinsumEquation& equation) {
  int64_t products = 1;
  for (int64_t extent : equation.extents) {
    if (extent > 1 && products > Shape::kMaxElements / extent)
      context.unsupported("the equation takes more than ", Shape::kMaxElements,
                          " products at once. Contract the operands in pairs");
    products *= std::max<int64_t>(extent, 1);
  }
}

}  // namespace

int64_t EinsumEquation::elements(const EinsumIndices& indices) const {
  int64_t product = 1;
  for (int index : indices) product *= extent(index);
  return product;
}

int64_t EinsumEquation::stride(const Shape& shape, size_t operand, int index) const {
  int64_t sum = 0, stride = 1;
  for (int64_t axis = shape.rank() - 1; axis >= 0; --axis) {
    if (operands[operand][static_cast<size_t>(axis)] == index && shape[axis] != 1) sum += stride;
    stride *= shape[axis];
  }
  return sum;
}

Shape EinsumEquation::output_shape(const InferContext& context) const {
  std::vector<int64_t> dims;
  for (int index : output) dims.push_back(extent(index));
  return checked_shape(context, std::move(dims));
}

EinsumEquation einsum_equation(const InferContext& context) {
  const Terms terms = parse(context);
  EinsumEquation equation;
  int64_t widest = 0;
  for (size_t i = 0; i < terms.operands.size(); ++i) {
    const EinsumIndices& term = terms.operands[i];
    const int64_t rank = context.input(i).shape.rank();
    const bool ellipsis = contains(term, kEllipsis);
    const int64_t rest = rank - (static_cast<int64_t>(term.size()) - (ellipsis ? 1 : 0));
    if (rest < 0 || (rest > 0 && !ellipsis))
      context.error("term ", i, " of equation '", context.attributes().text("equation", ""),
                    "' does not fit input ", i, " of shape ", context.input(i).shape.to_string());
    equation.operands.push_back(expand(term, rest));
    widest = std::max(widest, rest);
  }
  equation.output =
      terms.has_output ? expand(terms.output, widest) : implicit_output(equation.operands, widest);
  fit_extents(context, equation);
  fit_output(context, equation);
  check_products(context, equation);
  return equation;
}

}  // namespace sanderling
