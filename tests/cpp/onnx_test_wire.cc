// The wire format: damage, and encodings that are odd but valid.

#include "onnx_test.h"

namespace sanderling::test {
namespace {

void read_all(const Proto& proto) {
  WireField field;
  for (WireCursor cursor(wire(proto)); cursor.next(field);) {
  }
}

void test_varints() {
  WireField field;
  const auto value = [&](const std::vector<int>& bytes) {
    std::vector<int> all{8};
    all.insert(all.end(), bytes.begin(), bytes.end());
    const Proto proto = of_bytes(all);
    WireCursor cursor(wire(proto));
    CHECK(cursor.next(field));
    CHECK(cursor.done());
    return field.integer();
  };
  CHECK(value({0}) == 0);
  CHECK(value({0x7F}) == 127);
  CHECK(value({0x80, 0x01}) == 128);
  CHECK(value({0x80, 0x80, 0x80, 0x00}) == 0);  // longer than needed, yet valid
  const std::vector<int> minus_one{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01};
  CHECK(value(minus_one) == -1);
  std::vector<int> wide = minus_one;
  wide.back() = 0x02;
  CHECK_FAILS(kModel, SAYING("more than 64 bits"), value(wide));
  wide.back() = 0x81;
  CHECK_FAILS(kModel, SAYING("more than 64 bits"), value(wide));
  for (size_t kept = 0; kept < minus_one.size(); ++kept)
    CHECK_FAILS(kModel, SAYING("ends inside a number"),
                value({minus_one.begin(), minus_one.begin() + static_cast<long>(kept)}));
}

void test_fields() {
  for (int type : {3, 4, 6, 7})
    CHECK_FAILS(kModel, SAYING("wire type"), read_all(Proto().tag(1, static_cast<uint64_t>(type))));
  CHECK_FAILS(kModel, SAYING("field number 0"), read_all(Proto().tag(0, 0).varint(1)));
  CHECK_FAILS(kModel, SAYING("field number 536870912"),
              read_all(Proto().tag(uint64_t{1} << 29, 0).varint(1)));
  CHECK_FAILS(kModel, SAYING("number of 4 bytes", "only 3"),
              read_all(Proto().tag(1, 5).raw('a').raw('b').raw('c')));
  CHECK_FAILS(kModel, SAYING("number of 8 bytes", "only 4"), read_all(Proto().tag(1, 1).raw(1.0f)));
  CHECK_FAILS(kModel, SAYING("states 4 bytes, of which 3"),
              read_all(Proto().tag(1, 2).varint(4).raw('a').raw('b').raw('c')));
  const uint64_t three_gigabytes = uint64_t{3} << 30;
  CHECK_FAILS(kModel, SAYING("states 3221225472 bytes, of which 1 are there"),
              read_all(Proto().tag(7, 2).varint(three_gigabytes).raw('x')));
  CHECK_FAILS(kModel, SAYING("states 18446744073709551615 bytes"),
              read_all(Proto().tag(7, 2).varint(~uint64_t{0})));
  read_all(Proto());
  read_all(Proto()
               .tag(536870911, 0)
               .varint(1)
               .tag(99, 1)
               .raw(1.0)
               .tag(98, 5)
               .raw(1.0f)
               .text(97, "skipped"));

  // A known field of another wire type.
  WireField field;
  const Proto proto = Proto().integer(1, 5);
  WireCursor cursor(wire(proto));
  CHECK(cursor.next(field));
  CHECK_FAILS(kModel, SAYING("is varint where length-delimited"), field.text());
  CHECK_FAILS(kModel, SAYING("is varint where length-delimited"), field.message());
  CHECK_FAILS(kModel, SAYING("is varint where 32-bit"), field.float32());
}

void test_packed() {
  const Proto proto =
      Proto().message(1, Proto().varint(1).varint(300).varint(~uint64_t{0})).integer(1, 7);
  std::vector<int64_t> values;
  size_t count = 0;
  WireField field;
  for (WireCursor cursor(wire(proto)); cursor.next(field);) {
    count += field.count_integers();
    field.each_integer([&](int64_t value) { values.push_back(value); });
  }
  CHECK(count == 4);
  CHECK((values == std::vector<int64_t>{1, 300, -1, 7}));

  const Proto ragged = Proto().text(1, "12345");
  WireCursor cursor(wire(ragged));
  CHECK(cursor.next(field));
  CHECK_FAILS(kModel, SAYING("5 bytes", "no multiple of 4"), field.count_fixed(WireType::kFixed32));
  CHECK_FAILS(kModel, SAYING("number of 4 bytes"), field.each_float([](float) {}));
}

void test_utf8() {
  const auto text = [](const std::vector<int>& bytes) {
    const Proto proto = Proto().message(1, of_bytes(bytes));
    WireField field;
    WireCursor cursor(wire(proto));
    CHECK(cursor.next(field));
    return field.text().size();
  };
  CHECK(text({'a', 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x90, 0xA6}) == 10);
  CHECK(text({0xF4, 0x8F, 0xBF, 0xBF}) == 4);
  const std::vector<std::vector<int>> bad = {{0x80},
                                             {0xC0, 0x80},
                                             {0xC1, 0xBF},
                                             {0xC3},
                                             {0xC3, 'a'},
                                             {0xE0, 0x9F, 0xBF},
                                             {0xED, 0xA0, 0x80},
                                             {0xE2, 0x82},
                                             {0xF0, 0x8F, 0xBF, 0xBF},
                                             {0xF4, 0x90, 0x80, 0x80},
                                             {0xF5, 0x80, 0x80, 0x80},
                                             {0xFF}};
  for (const auto& bytes : bad) CHECK_FAILS(kModel, SAYING("not UTF-8"), text(bytes));
}

void test_depth() {
  Proto proto;
  for (int i = 0; i < 1000; ++i) proto = Proto().message(1, proto);
  WireMessage message = wire(proto);
  int levels = 0;
  CHECK_FAILS(kModel, SAYING("nest deeper than 100"), {
    for (;; ++levels) {
      WireField field;
      WireCursor cursor(message);
      CHECK(cursor.next(field));
      message = field.message();
    }
  });
  CHECK(levels == WireMessage::kMaxDepth);
}

}  // namespace

void test_wire() {
  run("varints", test_varints);
  run("fields", test_fields);
  run("packed", test_packed);
  run("utf8", test_utf8);
  run("depth", test_depth);
}

}  // namespace sanderling::test
