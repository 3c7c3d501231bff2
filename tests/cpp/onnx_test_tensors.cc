// TensorProto: every storage form, packed or not, and what must be refused.

#include <cstring>

#include "onnx/tensor_proto.h"
#include "onnx_test.h"

namespace sanderling::test {
namespace {

Tensor read(const Proto& proto) { return read_tensor(wire(proto), "initializer 'w'"); }

template <typename T>
std::vector<T> values(const Tensor& tensor) {
  return {tensor.data<T>().begin(), tensor.data<T>().end()};
}

void test_tensor_forms() {
  CHECK((values<float>(read(tensor({2}, 1).tag(4, 5).raw(1.5f).tag(4, 5).raw(-2.0f))) ==
         std::vector<float>{1.5f, -2.0f}));
  CHECK((values<float>(read(tensor({2}, 1).message(4, Proto().raw(1.5f).raw(-2.0f)))) ==
         std::vector<float>{1.5f, -2.0f}));
  // Packed in pieces, mixed with single elements, dims packed: all valid protobuf.
  CHECK((values<float>(read(Proto()
                                .message(1, Proto().varint(3))
                                .integer(2, 1)
                                .message(4, Proto().raw(1.0f))
                                .tag(4, 5)
                                .raw(2.0f)
                                .message(4, Proto().raw(3.0f)))) == std::vector<float>{1, 2, 3}));
  CHECK((values<double>(read(tensor({1}, 11).tag(10, 1).raw(0.1))) == std::vector<double>{0.1}));
  CHECK((values<int64_t>(read(tensor({2}, 7).integer(7, -5).integer(7, int64_t{1} << 62))) ==
         std::vector<int64_t>{-5, int64_t{1} << 62}));
  CHECK((values<int32_t>(read(tensor({2}, 6).integer(5, -5).integer(5, 0xFFFFFFFF))) ==
         std::vector<int32_t>{-5, -1}));
  CHECK((values<int8_t>(read(tensor({2}, 3).integer(5, -128).integer(5, 127))) ==
         std::vector<int8_t>{-128, 127}));
  CHECK((values<uint8_t>(read(tensor({2}, 2).integer(5, 0).integer(5, 255))) ==
         std::vector<uint8_t>{0, 255}));
  CHECK((values<bool>(read(tensor({2}, 9).integer(5, 0).integer(5, 1))) ==
         std::vector<bool>{false, true}));
  const Tensor flags = read(tensor({3}, 9).message(9, of_bytes({0, 1, 0xFF})));
  CHECK(std::memcmp(flags.raw(), "\0\1\1", 3) == 0);
  CHECK((values<int32_t>(read(tensor({}, 6).message(9, Proto().raw(int32_t{-7})))) ==
         std::vector<int32_t>{-7}));
  CHECK(read(tensor({0, 5}, 1)).shape() == Shape({0, 5}));
  CHECK(read(tensor({0, 5}, 1).text(9, "")).shape() == Shape({0, 5}));
  // A form that is there but empty says nothing.
  CHECK((values<int64_t>(read(tensor({1}, 7).text(4, "").text(9, "").integer(7, 3))) ==
         std::vector<int64_t>{3}));
}

void test_tensor_damage() {
  CHECK_FAILS(kModel, SAYING("initializer 'w'", "float32[2]", "needs 8 bytes", "has 4"),
              read(tensor({2}, 1).message(9, Proto().raw(1.0f))));
  CHECK_FAILS(kModel, SAYING("needs 2 elements", "has 1 in float_data"),
              read(tensor({2}, 1).message(4, Proto().raw(1.0f))));
  CHECK_FAILS(kModel, SAYING("needs 1 elements", "has 2"),
              read(tensor({1}, 7).integer(7, 1).integer(7, 2)));
  CHECK_FAILS(kModel, SAYING("needs 1 elements", "has 0"), read(tensor({}, 1)));
  CHECK_FAILS(kModel, SAYING("float32", "int64_data", "float_data"),
              read(tensor({1}, 1).integer(7, 1)));
  CHECK_FAILS(kModel, SAYING("both int32_data and raw_data"),
              read(tensor({1}, 2).integer(5, 1).text(9, "x")));
  CHECK_FAILS(kModel, SAYING("raw_data twice"), read(tensor({2}, 2).text(9, "x").text(9, "y")));
  CHECK_FAILS(kModel, SAYING("uint8", "256"), read(tensor({1}, 2).integer(5, 256)));
  CHECK_FAILS(kModel, SAYING("uint8", "-1"), read(tensor({1}, 2).integer(5, -1)));
  CHECK_FAILS(kModel, SAYING("int8", "-129"), read(tensor({1}, 3).integer(5, -129)));
  CHECK_FAILS(kModel, SAYING("[-1]", "negative"), read(tensor({-1}, 1)));
  CHECK_FAILS(kModel, SAYING("9 dimensions", "limit is 8"),
              read(tensor({1, 1, 1, 1, 1, 1, 1, 1, 1}, 1)));
  CHECK_FAILS(kModel, SAYING("exceeds the limit"),
              read(tensor({int64_t{1} << 62, int64_t{1} << 62}, 1)));
  CHECK_FAILS(kModel, SAYING("limit is 2147483648"), read(tensor({int64_t{1} << 31}, 1)));
  CHECK_FAILS(kModel, SAYING("needs 1000000000 bytes", "has 1"),
              read(tensor({1000000000}, 2).text(9, "x")));
  CHECK_FAILS(kModel, SAYING("no element type"), read(tensor({1}, 0)));
  CHECK_FAILS(kModel, SAYING("ends inside a number"),
              read(tensor({1}, 7).message(7, of_bytes({1, 0x80}))));

  CHECK_FAILS(kUnsupported, SAYING("initializer 'w'", "string"),
              read(tensor({1}, 8).text(6, "ab")));
  CHECK_FAILS(kModel, SAYING("float16[1] needs 2 bytes"), read(tensor({1}, 10).text(9, "a")));
  CHECK_FAILS(kModel, SAYING("int4[3] needs 2 bytes"), read(tensor({3}, 22).text(9, "a")));
  CHECK_FAILS(kUnsupported, SAYING("float6e3m2"), read(tensor({1}, 28).text(9, "a")));
  CHECK_FAILS(kUnsupported, SAYING("unknown", "999"), read(tensor({1}, 999)));
  CHECK_FAILS(kUnsupported, SAYING("another file", "'weights.bin'"),
              read(tensor({1}, 1).message(13, Proto().text(1, "location").text(2, "weights.bin"))));
  CHECK_FAILS(kUnsupported, SAYING("another file"), read(tensor({1}, 1).integer(14, 1)));
  CHECK_FAILS(kUnsupported, SAYING("segment"), read(tensor({1}, 1).message(3, Proto())));
}

}  // namespace

void test_tensors() {
  run("tensor_forms", test_tensor_forms);
  run("tensor_damage", test_tensor_damage);
}

}  // namespace sanderling::test
