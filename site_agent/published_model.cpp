#include "site_agent/published_model.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "coordinator/researcher/verify_model.h"
#include "site_agent/personal_model.h"
#include "site_agent/site_state.h"

namespace consilium::site_agent {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLargestRecord = 256 << 20;

absl::StatusOr<crypto::Ed25519PublicKey> RootKey(const fs::path& state, const std::string& given) {
  std::string text = given;
  const fs::path pinned = state / "keys" / "root.pub";
  if (given.empty() || Exists(given)) {
    auto file = ReadTextFile(given.empty() ? pinned : fs::path(given), 4096);
    if (!file.ok()) {
      return absl::NotFoundError(
          "no key to verify the model with: this folder is not enrolled; give --root (the "
          "federation's root.pub, or its 64 hexadecimal digits)");
    }
    text = *std::move(file);
  }
  text.erase(text.find_last_not_of(" \n") + 1);
  const auto bytes = FromHex(text);
  crypto::Ed25519PublicKey key;
  if (!bytes.ok() || bytes->size() != key.size()) {
    return absl::InvalidArgumentError(
        "the root key is not 64 hexadecimal digits, nor a file that holds them");
  }
  std::copy(bytes->begin(), bytes->end(), key.begin());
  return key;
}

// The one file of STATE/published whose name begins so.
absl::StatusOr<fs::path> FindModel(const fs::path& published, const std::string& beginning) {
  std::vector<fs::path> found;
  const auto files = ListFolder(published);
  for (const FolderEntry& entry : files.ok() ? *files : std::vector<FolderEntry>()) {
    const bool fits = entry.path.filename().string().compare(0, beginning.size(), beginning) == 0;
    if (fits && entry.path.extension() == ".safetensors") found.push_back(entry.path);
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return absl::NotFoundError(
        "the model is neither a file nor one that this site's agent has fetched after its "
        "publication (STATE/published)");
  }
  return absl::InvalidArgumentError(
      StrCat(found.size(), " published models begin with these digits; give more of them"));
}

// What a record says of itself, before it is believed.
std::string ModelNamedBy(const std::string& record_file) {
  const json document = json::parse(record_file, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.contains("record")) return {};
  const json& record = document["record"];
  const auto model = record.is_object() ? record.find("model") : record.end();
  return record.is_object() && model != record.end() && model->is_string()
             ? model->get<std::string>()
             : std::string();
}

absl::StatusOr<std::string> ReadRecord(const fs::path& file) {
  auto record = ReadTextFile(file, kLargestRecord);
  if (record.ok()) return record;
  return absl::NotFoundError(
      "no signed record of the model: a researcher of the federation has it (`consilium model "
      "fetch` writes MODEL.record.json); give it with --record");
}

std::string TextOf(const json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::vector<std::string> TrainedBy(const json& record) {
  std::vector<std::string> sites;
  const json listed = record.value("sites", json::array());
  for (const json& site : listed) {
    if (site.is_string()) sites.push_back(site.get<std::string>());
  }
  return sites;
}

// The plan's text, from the file or from this site's invitations, with the hash that the record
// proves.
absl::StatusOr<std::string> FindPlan(const fs::path& state, const fs::path& file,
                                     const std::string& sha256) {
  if (!file.empty()) {
    ASSIGN_OR_RETURN(std::string text, ReadTextFile(file, 1 << 20));
    if (crypto::Sha256(AsBytes(text)).Hex() == sha256) return text;
    return absl::UnauthenticatedError("the plan is not the one that the model was made by");
  }
  const auto site = SiteState::Open(state, SiteState::Access::kLook);
  if (site.ok()) {
    ASSIGN_OR_RETURN(const std::vector<RunRecord> runs, (*site)->Runs());
    for (const RunRecord& run : runs) {
      if (crypto::Sha256(AsBytes(run.plan_toml)).Hex() == sha256) return run.plan_toml;
    }
  }
  return absl::NotFoundError(
      "this site was never invited with the model's plan; give the plan's file with --plan");
}

// Where the record of the sites' pooled test tells the threshold, and not only what it showed.
std::optional<datasets::results::OperatingPoint> OperatingPointOf(const json& record) {
  const auto test = record.find("test");
  if (test == record.end() || !test->is_object()) return std::nullopt;
  const auto threshold = test->find("threshold"), specificity = test->find("at_specificity");
  if (threshold == test->end() || specificity == test->end() || !threshold->is_number() ||
      !specificity->is_number()) {
    return std::nullopt;
  }
  const double value = threshold->get<double>();
  if (!(value >= 0 && value <= 1)) return std::nullopt;
  const auto sites = test->find("sites");
  std::string established = absl::StrFormat("specificity %.2f", specificity->get<double>());
  if (sites != test->end() && sites->is_number_unsigned()) {
    StrAppend(&established, " on the test sets of ", sites->get<std::uint64_t>(), " sites");
  }
  return datasets::results::OperatingPoint{value, std::move(established)};
}

bool TookPart(const fs::path& state, const std::string& run) {
  const auto site = SiteState::Open(state, SiteState::Access::kLook);
  if (!site.ok()) return false;
  const auto runs = (*site)->Runs();
  if (!runs.ok()) return false;
  return std::any_of(runs->begin(), runs->end(), [&](const RunRecord& known) {
    return known.run.value == run && known.consent == Consent::kAccepted;
  });
}

}  // namespace

absl::StatusOr<PublishedModel> LoadPublishedModel(const fs::path& state,
                                                  const ModelChoice& choice) {
  ASSIGN_OR_RETURN(const crypto::Ed25519PublicKey root, RootKey(state, choice.root));
  std::string record_file, named = choice.model;
  if (!choice.record.empty()) {
    ASSIGN_OR_RETURN(record_file, ReadRecord(choice.record));
    if (named.empty()) named = ModelNamedBy(record_file);
  }
  if (named.empty()) {
    return absl::InvalidArgumentError(
        "which model? Give --model (a file, or the beginning of a published model's id), or "
        "--record (its signed record)");
  }
  fs::path file = named;
  if (!Exists(file)) {
    ASSIGN_OR_RETURN(file, FindModel(SiteFolder{state}.Published(), named));
  }
  if (choice.record.empty()) {
    ASSIGN_OR_RETURN(record_file, ReadRecord(fs::path(file).replace_extension(".record.json")));
  }
  // The very bytes that are used are the ones that are proved.
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(file));
  const ModelId id = crypto::Sha256(bytes);
  const researcher::Verification proof =
      researcher::VerifyModel(root, id, record_file, std::nullopt);
  if (!proof.ok()) {
    return absl::UnauthenticatedError(
        StrCat("the model is not one that this federation published: ", proof.Broken()));
  }
  const json record = json::parse(proof.record_json, nullptr, /*allow_exceptions=*/false);
  ASSIGN_OR_RETURN(const std::string toml,
                   FindPlan(state, choice.plan, TextOf(record, "plan_sha256")));
  ASSIGN_OR_RETURN(plan::Plan plan, plan::ParsePlan(toml));
  ASSIGN_OR_RETURN(ModelState model, ParseSafetensors(bytes));
  datasets::results::ModelDescription description{.id = id,
                                                  .name = plan.name,
                                                  .run = TextOf(record, "run"),
                                                  .target = plan.target.name,
                                                  .federation = TextOf(record, "federation")};
  const bool trained_here = TookPart(state, description.run);
  return PublishedModel{std::move(model),
                        std::move(plan),
                        std::move(description),
                        OperatingPointOf(record),
                        TrainedBy(record),
                        TextOf(record, "created"),
                        trained_here};
}

absl::StatusOr<PublishedModel> PersonalInsteadOf(const fs::path& state, PublishedModel published) {
  const std::string& run = published.description.run;
  const auto own = PersonalModels(SiteFolder{state}.Personal()).Find(RunId(run));
  if (absl::IsNotFound(own.status())) {
    return absl::NotFoundError(StrCat(
        "this site has no personal model of ", run,
        ": one is made here when the site takes part in a run whose plan has "
        "[personalisation] (`consilium-site personal show` lists them); leave out --personal "
        "to use the published model"));
  }
  RETURN_IF_ERROR(own.status());
  ASSIGN_OR_RETURN(published.state, PersonalModels::Load(*own));
  published.description.personal = StrCat(plan::Name(own->method), " of ", own->global.Short());
  published.description.id = own->id;
  published.operating_point.reset();
  return published;
}

void AddModelOptions(CLI::App& command, ModelChoice& choice, bool required) {
  auto* const model =
      command.add_option(required ? "model,--model" : "--model", choice.model,
                         "A model's file, or the beginning of a published model's id");
  if (required) model->required();
  command.add_option("--record", choice.record,
                     "A published model's signed record; default: MODEL.record.json beside the "
                     "file");
  command.add_option("--plan", choice.plan, "Its plan; default: as this site was invited with it");
  command.add_option("--root", choice.root,
                     "The federation's root key, where the site is not enrolled");
}

}  // namespace consilium::site_agent
