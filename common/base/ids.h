#pragma once

// Names of things. Distinct types, so that a site cannot be passed where a run is meant.

#include <compare>
#include <cstdint>
#include <string>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace consilium {

template <class Tag>
struct Id {
  std::string value;

  Id() = default;
  explicit Id(std::string text) : value(std::move(text)) {}
  bool empty() const { return value.empty(); }
  auto operator<=>(const Id&) const = default;
};

using SiteId = Id<struct SiteTag>;              // "north-hospital": [a-z0-9][a-z0-9-]{0,62}
using ResearcherId = Id<struct ResearcherTag>;  // same grammar
using RunId = Id<struct RunTag>;                // "chest-opacity-0003"
using ModelId = Digest;                         // SHA-256 of the safetensors bytes
using PlanHash = Digest;                        // SHA-256 of the plan's TOML text as submitted

// OK when `name` follows the grammar of site, researcher and plan names.
absl::Status CheckName(std::string_view what, std::string_view name);

// One try at one round of one run. Round 0 makes the first model; training rounds count from 1. Attempts count from 1.
struct AttemptKey {
  RunId run;
  std::uint32_t round = 0;
  std::uint32_t attempt = 0;

  auto operator<=>(const AttemptKey&) const = default;
  std::string ToString() const;  // "chest-opacity-0003/2/1"
};

}  // namespace consilium
