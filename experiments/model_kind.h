#pragma once

// The models that an experiment compares.

#include <optional>
#include <string>
#include <string_view>

namespace consilium::experiments {

enum class ModelKind {
  kFederated,
  kPersonal,  // the federated one, with what each site made of it for itself ([personalisation])
  kLocal,     // of one site alone
  kPooled,    // of all sites' data in one place
};

// "federated", "federated, own model of each site", "only north" (the site of kLocal), "pooled
// data".
std::string TitleOf(ModelKind kind, const std::string& site);

// A word for files, and back.
std::string_view KeyOf(ModelKind kind);
std::optional<ModelKind> ModelKindFrom(std::string_view key);

}  // namespace consilium::experiments
