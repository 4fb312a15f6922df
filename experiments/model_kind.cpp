#include "experiments/model_kind.h"

#include <array>

#include "common/base/status.h"

namespace consilium::experiments {
namespace {

struct Kind {
  ModelKind kind;
  std::string_view key, title;
};
constexpr std::array<Kind, 4> kKinds = {
    {{ModelKind::kFederated, "federated", "federated"},
     {ModelKind::kPersonal, "personal", "federated, own model of each site"},
     {ModelKind::kLocal, "local", "only "},
     {ModelKind::kPooled, "pooled", "pooled data"}}};

const Kind& Find(ModelKind kind) {
  for (const Kind& one : kKinds) {
    if (one.kind == kind) return one;
  }
  CONSILIUM_CHECK(false);
}

}  // namespace

std::string TitleOf(ModelKind kind, const std::string& site) {
  return std::string(Find(kind).title) + (kind == ModelKind::kLocal ? site : "");
}

std::string_view KeyOf(ModelKind kind) { return Find(kind).key; }

std::optional<ModelKind> ModelKindFrom(std::string_view key) {
  for (const Kind& one : kKinds) {
    if (one.key == key) return one.kind;
  }
  return std::nullopt;
}

}  // namespace consilium::experiments
