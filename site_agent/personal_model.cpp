#include "site_agent/personal_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"

namespace consilium::site_agent {
namespace {

using nlohmann::json;
using Method = plan::PersonalMethod;

constexpr std::string_view kRecord = "personal.json";
constexpr std::uint64_t kLargestRecord = 64 << 10;
constexpr Method kMethods[] = {Method::kLocalNorm, Method::kLocalHead, Method::kDitto,
                               Method::kFineTuning};

absl::Status Damaged(const RunId& run) {
  return absl::DataLossError(
      StrCat("the personal model of ", run.value, " is not what this site wrote"));
}

std::string LayerOf(const std::string& tensor) { return tensor.substr(0, tensor.rfind('.') + 1); }

// The layer of the last weight matrix.
std::string Head(const Layout& layout) {
  for (auto tensor = layout.rbegin(); tensor != layout.rend(); ++tensor) {
    if (tensor->shape.size() >= 2 && tensor->name.ends_with(".weight"))
      return LayerOf(tensor->name);
  }
  return "";
}

std::set<std::string> Norms(const Layout& layout) {
  std::set<std::string> norms;
  for (const TensorSpec& tensor : layout) {
    if (tensor.shape.size() == 1 && tensor.name.ends_with(".weight")) {
      norms.insert(LayerOf(tensor.name));
    }
  }
  return norms;
}

absl::StatusOr<PersonalModel> Parse(const RunId& run, const fs::path& folder,
                                    const std::string& text) {
  const json record = json::parse(text, nullptr, /*allow_exceptions=*/false);
  PersonalModel model{.run = run};
  const auto word = [&](const char* key) {
    const auto found = record.find(key);
    return found != record.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (!record.is_object()) return Damaged(run);
  for (const Method method : kMethods) {
    if (word("method") == plan::Name(method)) model.method = method;
  }
  const auto global = ModelId::FromHex(word("global")), id = ModelId::FromHex(word("model"));
  const auto steps = record.find("steps"), published = record.find("published");
  const bool fits = global.ok() && id.ok() && model.method != Method::kNone &&
                    steps != record.end() && steps->is_number_unsigned() &&
                    published != record.end() && published->is_boolean();
  if (!fits) return Damaged(run);
  model.global = *global;
  model.id = *id;
  model.steps = steps->get<std::uint32_t>();
  model.published = published->get<bool>();
  model.file = folder / StrCat(id->Hex(), ".safetensors");
  return model;
}

// As a personal model is trained: by the plan, but for how it is combined.
learning::TrainTask TaskOf(const plan::Plan& plan, const PersonalStep& step,
                           const ModelState& global) {
  learning::TrainTask task{plan, step.seed, plan.personalisation.epochs};
  const bool pulled = plan.personalisation.method == Method::kDitto;
  task.plan.aggregation.method =
      pulled ? plan::AggregationMethod::kFedProx : plan::AggregationMethod::kFedAvg;
  task.plan.aggregation.proximal_mu = pulled ? plan.personalisation.pull : 0;
  task.plan.training.keep_optimizer = false;  // the moments kept are those of the global model
  if (pulled) task.pulled_to = global;
  return task;
}

}  // namespace

std::vector<bool> OwnTensors(const Layout& layout, Method method) {
  std::vector<bool> own(layout.size(), method == Method::kDitto);
  const std::set<std::string> norms =
      method == Method::kLocalNorm ? Norms(layout) : std::set<std::string>();
  const std::string head = method == Method::kLocalHead ? Head(layout) : "";
  for (std::size_t i = 0; i < layout.size(); ++i) {
    const std::string layer = LayerOf(layout[i].name);
    if (norms.contains(layer) || (!head.empty() && layer == head)) own[i] = true;
  }
  return own;
}

absl::StatusOr<ModelState> WithOwn(const ModelState& global, const ModelState& own, Method method) {
  RETURN_IF_ERROR(CheckSameLayout(global.layout(), own.layout()));
  const std::vector<bool> is_own = OwnTensors(global.layout(), method);
  std::vector<float> values(global.values().begin(), global.values().end());
  std::size_t offset = 0;
  for (std::size_t i = 0; i < is_own.size(); ++i) {
    const std::size_t count = global.layout()[i].Elements();
    if (is_own[i]) std::ranges::copy(own.values().subspan(offset, count), values.begin() + offset);
    offset += count;
  }
  return ModelState::Create(global.layout(), std::move(values));
}

std::vector<PersonalModel> PersonalModels::List() const {
  std::vector<PersonalModel> models;
  const auto entries = ListFolder(folder_);
  for (const FolderEntry& entry : entries.ok() ? *entries : std::vector<FolderEntry>()) {
    auto model = Find(RunId(entry.path.filename().string()));
    if (model.ok()) models.push_back(*std::move(model));
  }
  std::ranges::sort(models, {}, [](const PersonalModel& m) { return m.run.value; });
  return models;
}

absl::StatusOr<PersonalModel> PersonalModels::Find(const RunId& run) const {
  const auto text = ReadTextFile(FolderOf(run) / kRecord, kLargestRecord);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(StrCat("there is no personal model of ", run.value));
  }
  RETURN_IF_ERROR(text.status());
  return Parse(run, FolderOf(run), *text);
}

absl::StatusOr<ModelState> PersonalModels::Load(const PersonalModel& model) {
  const auto id = crypto::Sha256OfFile(model.file);
  if (!id.ok() || *id != model.id) return Damaged(model.run);
  return LoadSafetensors(model.file);
}

bool PersonalModels::IsDue(const plan::Plan& plan, const PersonalStep& step) const {
  const Method method = plan.personalisation.method;
  if (method == Method::kNone || plan.describe) return false;
  if (method == Method::kFineTuning && !step.published) return false;
  const auto before = Find(step.run);
  if (!before.ok()) return true;
  return before->method != method || before->global != step.global ||
         before->published != step.published;
}

absl::Status PersonalModels::Make(const plan::Plan& plan, const PersonalStep& step,
                                  const ModelState& global, const datasets::Dataset& train,
                                  Learner& learner, Progress& progress) const {
  if (!IsDue(plan, step)) return absl::OkStatus();
  const Method method = plan.personalisation.method;
  const absl::StatusOr<PersonalModel> before = Find(step.run);
  const bool goes_on = before.ok() && before->method == method && method != Method::kFineTuning;
  ModelState start = global;
  std::uint32_t steps = 1;
  if (goes_on) {
    const absl::StatusOr<ModelState> own = Load(*before);
    if (own.ok()) {
      ASSIGN_OR_RETURN(start, WithOwn(global, *own, method));
      steps = before->steps + 1;
    } else {
      Log(LogLevel::kWarning, "personal_model_lost",
          {{"run", step.run.value}, {"reason", ToStd(own.status().message())}});
    }
  }
  ASSIGN_OR_RETURN(const auto trained,
                   learner.Train(start, train, TaskOf(plan, step, global), progress));
  if (progress.Cancelled()) return absl::CancelledError("the personal training was stopped");
  return Keep(plan, step, trained.trained, steps);
}

absl::Status PersonalModels::Keep(const plan::Plan& plan, const PersonalStep& step,
                                  const ModelState& model, std::uint32_t steps) const {
  const fs::path folder = FolderOf(step.run);
  RETURN_IF_ERROR(EnsureFolder(folder_));
  RETURN_IF_ERROR(EnsureFolder(folder));
  const fs::path made = folder / "made.part";
  RETURN_IF_ERROR(SaveSafetensors(made, model));
  ASSIGN_OR_RETURN(const ModelId id, crypto::Sha256OfFile(made));
  const fs::path file = folder / StrCat(id.Hex(), ".safetensors");
  RETURN_IF_ERROR(RenameDurably(made, file));
  const json record = {{"method", plan::Name(plan.personalisation.method)},
                       {"global", step.global.Hex()},
                       {"published", step.published},
                       {"steps", steps},
                       {"model", id.Hex()}};
  RETURN_IF_ERROR(WriteFileDurably(folder / kRecord, record.dump(2) + "\n"));
  const auto entries = ListFolder(folder);
  for (const FolderEntry& entry : entries.ok() ? *entries : std::vector<FolderEntry>()) {
    const bool older = entry.path.extension() == ".safetensors" && entry.path != file;
    if (older) RETURN_IF_ERROR(Remove(entry.path));
  }
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
