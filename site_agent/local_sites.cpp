#include "site_agent/local_sites.h"

#include <cstdio>

#include "common/base/status.h"
#include "datasets/worker/sandboxed_reader.h"
#include "site_agent/catalog_data.h"
#include "site_agent/policy.h"
#include "site_agent/site_state.h"

namespace consilium::site_agent {

absl::StatusOr<plan::Plan> ReadPlan(const fs::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, 1 << 20));
  return plan::ParsePlan(text);
}

absl::StatusOr<std::vector<std::unique_ptr<LocalData>>> IndexAll(const std::vector<fs::path>& data,
                                                                 const fs::path& state, int threads,
                                                                 Progress& progress) {
  std::vector<std::unique_ptr<LocalData>> sites;
  datasets::IndexOptions options;
  options.threads = static_cast<unsigned>(threads);
  ASSIGN_OR_RETURN(const Policy policy, LoadPolicy(SiteFolder{state}.Policy()));
  options.policy = policy.deidentification;
  ASSIGN_OR_RETURN(const std::shared_ptr<datasets::ImageReader> reader,
                   datasets::SandboxedReader::Create({.workers = options.threads}));
  for (std::size_t i = 0; i < data.size(); ++i) {
    const fs::path own = data.size() == 1 ? state : state / "pooled" / StrCat(i + 1);
    ASSIGN_OR_RETURN(auto site, CatalogData::Index(own / "catalog.db", own / "cache", data[i],
                                                   options, reader, progress));
    std::fprintf(stderr, "%s", Describe(site->report()).c_str());
    sites.push_back(std::move(site));
  }
  return sites;
}

}  // namespace consilium::site_agent
