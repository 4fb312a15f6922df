#include "tests/chaos/stressed_federation.h"

#include <signal.h>

#include <thread>

#include "common/base/status.h"

namespace consilium::chaos {
namespace {

using experiments::ExitState;
using experiments::Federation;
using std::chrono::steady_clock;

// The file from `offset` on; empty when it cannot be read.
std::string ReadFrom(const fs::path& path, std::uint64_t offset) {
  const auto file = File::OpenForReading(path);
  if (!file.ok()) return "";
  const std::uint64_t size = file->Size().value_or(0);
  if (size <= offset) return "";
  std::string text(size - offset, '\0');
  const absl::Status read =
      file->ReadAt(offset, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  return read.ok() ? text : "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<StressedFederation>> StressedFederation::Create(
    const Setting& setting) {
  std::unique_ptr<StressedFederation> stressed(new StressedFederation(setting));
  ASSIGN_OR_RETURN(stressed->federation_,
                   Federation::Create(setting.programs, setting.folder, Federation::Keys::kBare));
  Federation& federation = *stressed->federation_;
  for (const auto& [who, variables] : setting.environment) {
    federation.SetEnvironment(who, variables);
  }
  stressed->names_ = {kCoordinator};
  stressed->down_[kCoordinator] = true;
  RETURN_IF_ERROR(stressed->Start(kCoordinator));
  RETURN_IF_ERROR(federation.EnrolResearcher("researcher"));
  for (int i = 0; i < setting.sites; ++i) {
    const std::string name = StrCat("site-", i);
    ASSIGN_OR_RETURN(stressed->links_[name], FlakyLink::Open(federation.port()));
    federation.CallThrough(stressed->links_[name]->port());
    RETURN_IF_ERROR(federation.EnrolSite(name));
    RETURN_IF_ERROR(federation.ConsentToSealedUpdates(name));
    stressed->names_.push_back(name);
    RETURN_IF_ERROR(stressed->Start(name));
  }
  const auto until = steady_clock::now() + std::chrono::seconds(60);
  for (const std::string& name : stressed->names_) {
    while (!stressed->IsBack(name)) {
      RETURN_IF_ERROR(federation.CheckAllRun());
      if (steady_clock::now() > until) {
        return absl::DeadlineExceededError(StrCat(
            name, " did not connect within a minute; its log is in ", federation.logs().string()));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  return stressed;
}

fs::path StressedFederation::StateOf(const std::string& name) const {
  return name == kCoordinator ? federation_->CoordinatorState() : federation_->SiteState(name);
}

fs::path StressedFederation::TrainingsOf(const std::string& site) const {
  return setting_.folder / StrCat(site, ".trainings");
}

fs::path StressedFederation::LogOf(const std::string& site) const {
  return federation_->logs() / StrCat("site-", site, ".log");
}

void StressedFederation::Kill(const std::string& name) {
  if (down_[name]) return;
  down_[name] = true;
  if (name == kCoordinator) return federation_->KillCoordinator();
  federation_->site(name).Signal(SIGKILL);
  federation_->site(name).End();
}

absl::Status StressedFederation::Start(const std::string& name) {
  back_[name] = false;
  if (name == kCoordinator) {
    RETURN_IF_ERROR(federation_->StartCoordinator());
    back_[name] = true;
  } else {
    log_read_[name] = FileSize(LogOf(name)).value_or(0);
    const bool real = setting_.parameters == 0;
    const int number = std::stoi(name.substr(name.find('-') + 1));
    const std::vector<std::string> options =
        real ? std::vector<std::string>{"--data", setting_.images / name, "--threads", "1"}
             : std::vector<std::string>{"--parameters",  StrCat(setting_.parameters),
                                        "--examples",    StrCat(100 + 20 * number),
                                        "--trainings",   TrainingsOf(name),
                                        "--training-ms", "30"};
    RETURN_IF_ERROR(
        federation_->StartSite(name, options, real ? "consilium-site" : "consilium-chaos-site"));
  }
  down_[name] = false;
  return absl::OkStatus();
}

std::optional<ExitState> StressedFederation::Ended(const std::string& name) {
  if (down_[name]) return std::nullopt;
  std::optional<ExitState> state =
      name == kCoordinator ? federation_->coordinator().Poll() : federation_->site(name).Poll();
  if (state) down_[name] = true;
  return state;
}

bool StressedFederation::IsBack(const std::string& name) {
  if (down_[name]) return false;
  if (!back_[name]) {
    back_[name] =
        ReadFrom(LogOf(name), log_read_[name]).find("event=connected") != std::string::npos;
  }
  return back_[name];
}

bool StressedFederation::IsTraining(const std::string& site) const {
  const std::uint64_t size = FileSize(TrainingsOf(site)).value_or(0);
  const std::string tail = ReadFrom(TrainingsOf(site), size < 200 ? 0 : size - 200);
  const std::size_t began = tail.rfind("began "), ended = tail.rfind("ended ");
  return began != std::string::npos && (ended == std::string::npos || began > ended);
}

void StressedFederation::StopAll() {
  federation_->StopSites();
  for (const std::string& name : names_) {
    if (name != kCoordinator) down_[name] = true;
  }
  if (down_[kCoordinator]) return;
  federation_->coordinator().End(std::chrono::seconds(10));
  down_[kCoordinator] = true;
}

}  // namespace consilium::chaos
