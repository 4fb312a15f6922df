#include "experiments/personal_models.h"

#include <thread>

#include "common/base/progress.h"
#include "common/base/status.h"
#include "site_agent/personal_model.h"

namespace consilium::experiments {
namespace {

using std::chrono::steady_clock;

absl::StatusOr<ModelFile> AwaitOne(Federation& federation, const RunId& run, bool published,
                                   const SiteData& site, steady_clock::time_point until) {
  const site_agent::PersonalModels models(site.state / "personal");
  while (true) {
    const auto made = models.Find(run);
    if (made.ok() && made->published == published) {
      return ModelFile{ModelKind::kPersonal, site.name, made->file};
    }
    if (!published) return WithContext(made.status(), StrCat("site ", site.name));
    if (Interrupted()) return absl::CancelledError("interrupted");
    RETURN_IF_ERROR(federation.CheckAllRun());
    if (steady_clock::now() >= until) {
      return absl::DeadlineExceededError(
          StrCat("site ", site.name, " made no model of its own in time; the end of its log:\n",
                 Tail(federation.logs() / StrCat("site-", site.name, ".log"), 8)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

absl::StatusOr<std::vector<ModelFile>> AwaitPersonalModels(Federation& federation,
                                                           const std::string& run, bool published,
                                                           const std::vector<SiteData>& sites,
                                                           Duration limit) {
  const auto until = steady_clock::now() + limit;
  std::vector<ModelFile> files;
  for (const SiteData& site : sites) {
    ASSIGN_OR_RETURN(ModelFile file, AwaitOne(federation, RunId{run}, published, site, until));
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace consilium::experiments
