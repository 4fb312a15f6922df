#include "common/model/model_state.h"

#include <limits>

#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium {
namespace {

constexpr std::uint64_t kTooMany = std::numeric_limits<std::uint64_t>::max();
constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

TEST_CASE("a tensor's elements are the product of its shape, checked") {
  CHECK(TensorSpec{"a", {}}.Elements() == 1);
  CHECK(TensorSpec{"a", {2, 3, 4}}.Elements() == 24);
  CHECK(TensorSpec{"a", {kHuge, 0, kHuge}}.Elements() == 0);
  CHECK(TensorSpec{"a", {kHuge, 3}}.Elements() == kTooMany);
  CHECK(TensorSpec{"a", {-1, -1}}.Elements() == kTooMany);
  CHECK(TotalElements({{"a", {2}}, {"b", {}}, {"c", {0, 7}}}) == 3);
  CHECK(TotalElements({{"a", {kHuge}}, {"b", {kHuge}}, {"c", {kHuge}}}) == kTooMany);
}

TEST_CASE("a model holds its layout and values, and copies share them") {
  const auto model = ModelState::Create({{"w", {2, 2}}, {"b", {}}}, {1, 2, 3, 4, 5});
  REQUIRE(model.ok());
  CHECK(model->layout() == Layout{{"w", {2, 2}}, {"b", {}}});
  CHECK(model->values()[4] == 5);
  const ModelState copy = *model;
  CHECK(copy.values().data() == model->values().data());
}

TEST_CASE("a model of no tensors is a model") { CHECK(ModelState::Create({}, {}).ok()); }

TEST_CASE("a layout that cannot be is refused, naming what is wrong") {
  const auto refused = [](Layout layout, std::size_t values) {
    const auto status = ModelState::Create(std::move(layout), std::vector<float>(values)).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    return status;
  };
  CHECK(Says(refused({{"w", {2}}}, 3), "2 elements, but 3 values"));
  CHECK(Says(refused({{"", {2}}}, 2), "empty name"));
  CHECK(Says(refused({{"w", {1}}, {"w", {1}}}, 2), "two tensors have the name w"));
  CHECK(Says(refused({{"w", {-2, -1}}}, 2), "[-2, -1]"));
  CHECK(Says(refused({{"w", {kHuge, 2}}}, 2), "too large"));
  CHECK(Says(refused({{"w", {kHuge / 16}}, {"v", {kHuge / 8}}}, 2), "too many elements"));
  CHECK(Says(refused({{"a b", {1}}}, 1), "printable ASCII"));
  CHECK(Says(refused({{"\x1b[2J", {1}}}, 1), "printable ASCII"));
  CHECK(Says(refused({{std::string(257, 'n'), {1}}}, 1), "at most 256"));
  CHECK(Says(refused({{"__metadata__", {1}}}, 1), "reserved"));
}

TEST_CASE("a value that is NaN or infinite is refused and its tensor named") {
  const float bad =
      GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
               -std::numeric_limits<float>::infinity());
  const auto model = ModelState::Create({{"first", {3}}, {"second", {2}}}, {1, 2, 3, 4, bad});
  CHECK(Says(model.status(), "tensor second holds a value that is NaN or infinite"));
  CHECK(ModelState::Create({{"w", {2}}}, {std::numeric_limits<float>::max(),
                                          std::numeric_limits<float>::denorm_min()})
            .ok());
}

TEST_CASE("the first tensor that differs is named") {
  const Layout layout = {{"a", {1, 2}}, {"b", {3}}};
  CHECK(CheckSameLayout(layout, layout).ok());
  CHECK(Says(CheckSameLayout(layout, {{"a", {2, 1}}, {"b", {3}}}),
             "tensor a has the shape [2, 1] where [1, 2] is expected"));
  CHECK(Says(CheckSameLayout(layout, {{"a", {1, 2}}, {"c", {3}}}), "c where b is expected"));
  CHECK(Says(CheckSameLayout(layout, {{"a", {1, 2}}}), "tensor b is missing"));
  CHECK(Says(CheckSameLayout({}, layout), "tensor a is one too many"));
}

TEST_CASE("the layout's hash tells names, shapes and their order apart") {
  const std::uint64_t hash = LayoutHash({{"a", {1, 2}}, {"b", {3}}});
  CHECK(hash == LayoutHash({{"a", {1, 2}}, {"b", {3}}}));
  CHECK(hash != LayoutHash({{"b", {3}}, {"a", {1, 2}}}));
  CHECK(hash != LayoutHash({{"a", {12}}, {"b", {3}}}));
  CHECK(hash != LayoutHash({{"a", {1, 2, 3}}, {"b", {}}}));
}

}  // namespace
}  // namespace consilium
