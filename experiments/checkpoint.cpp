#include "experiments/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/base/status.h"

namespace consilium::experiments {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr const char* kFile = "checkpoint.json";

Checkpoint FromJson(const json& in) {
  Checkpoint checkpoint;
  const json& request = in.at("request");
  checkpoint.request = {request.at("plan"), request.at("data"), request.at("patients"),
                        request.at("images_seed")};
  checkpoint.begun = Time(Duration(in.at("begun_us").get<std::int64_t>()));
  checkpoint.resumed = in.at("resumed");
  for (const json& part : in.at("parts")) {
    checkpoint.parts.push_back({part.at("name"), part.at("seconds")});
  }
  checkpoint.doing = in.at("doing");
  checkpoint.run = in.at("run");
  checkpoint.finished = in.at("finished");
  checkpoint.baselines = in.at("baselines");
  checkpoint.examples = in.at("examples");
  return checkpoint;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The first line that is another.
std::string PlanDifference(const std::string& there, const std::string& now) {
  const std::vector<std::string> a = Lines(there), b = Lines(now);
  const auto line = [](const std::vector<std::string>& lines, std::size_t i) {
    return i < lines.size() ? StrCat("`", lines[i], "`") : std::string("nothing");
  };
  std::size_t i = 0;
  while (i < a.size() && i < b.size() && a[i] == b[i]) ++i;
  return StrCat("plan, line ", i + 1, ": ", line(a, i), " there, ", line(b, i), " now");
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) StrAppend(&text, text.empty() ? "" : ", ", word);
  return text.empty() ? "drawn images" : text;
}

}  // namespace

bool Checkpoint::Done(std::string_view part) const {
  return std::any_of(parts.begin(), parts.end(), [&](const Part& p) { return p.name == part; });
}

absl::StatusOr<std::optional<Checkpoint>> LoadCheckpoint(const fs::path& out) {
  if (!Exists(out / kFile)) return std::optional<Checkpoint>();
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(out / kFile));
  const json in = json::parse(text, nullptr, /*allow_exceptions=*/false);
  try {
    if (in.at("version") == kVersion) return std::optional<Checkpoint>(FromJson(in));
  } catch (const json::exception&) {
  }
  return absl::FailedPreconditionError(
      StrCat(kFile,
             " was written by another version of this program, which alone can go on with "
             "it; begin anew with --fresh, or give another --out"));
}

absl::Status SaveCheckpoint(const fs::path& out, const Checkpoint& checkpoint) {
  json parts = json::array();
  for (const Part& part : checkpoint.parts) {
    parts.push_back({{"name", part.name}, {"seconds", part.seconds}});
  }
  const Request& request = checkpoint.request;
  const json document = {{"version", kVersion},
                         {"request",
                          {{"plan", request.plan_toml},
                           {"data", request.data},
                           {"patients", request.patients},
                           {"images_seed", request.images_seed}}},
                         {"begun_us", checkpoint.begun.time_since_epoch().count()},
                         {"resumed", checkpoint.resumed},
                         {"parts", parts},
                         {"doing", checkpoint.doing},
                         {"run", checkpoint.run},
                         {"finished", checkpoint.finished},
                         {"baselines", checkpoint.baselines},
                         {"examples", checkpoint.examples}};
  return WriteFileDurably(out / kFile, document.dump(1) + "\n", 0644);
}

std::vector<std::string> Differences(const Request& there, const Request& now) {
  std::vector<std::string> found;
  if (there.plan_toml != now.plan_toml) {
    found.push_back(PlanDifference(there.plan_toml, now.plan_toml));
  }
  if (there.data != now.data) {
    found.push_back(StrCat("images: ", Joined(there.data), " there, ", Joined(now.data), " now"));
  }
  if (!there.data.empty() || !now.data.empty()) return found;
  if (there.patients != now.patients) {
    found.push_back(StrCat("patients: ", there.patients, " there, ", now.patients, " now"));
  }
  if (there.images_seed != now.images_seed) {
    found.push_back(
        StrCat("images-seed: ", there.images_seed, " there, ", now.images_seed, " now"));
  }
  return found;
}

}  // namespace consilium::experiments
