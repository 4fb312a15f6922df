#pragma once

// A small federation's published model, as files: model, signed record, plan, root key.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "common/base/file.h"
#include "common/model/model_state.h"

namespace consilium::site_agent {

struct PublishedFiles {
  fs::path model, record, plan;
  std::string root;  // hexadecimal
};

// Writes them into `folder`. `change` may alter the record before the coordinator signs it.
PublishedFiles Publish(const fs::path& folder, const std::string& plan_toml,
                       const ModelState& model,
                       const std::function<void(nlohmann::json&)>& change = {});

}  // namespace consilium::site_agent
