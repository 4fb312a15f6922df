#pragma once

// A hospital's own model beside the global one (the plan's [personalisation]): made here, of its
// own training patients, and never sent. What the site sends is the same with and without it.
//
//   STATE/personal/<run>/<sha-256>.safetensors   the model
//   STATE/personal/<run>/personal.json           which one, and of which global model it was made
//
// The second is written when the first is durable, so that after a crash there is the one before or
// the new one. Both hold no example and no patient. A run whose plan has no personal model has no
// folder.
//
// Each step begins from a global model G, the base of a round or what was published:
//   local_norm   G with the site's own norms (weights and statistics of all layers whose weight has
//                one dimension), trained on (FedBN, Li et al. 2021)
//   local_head   G with the site's own last layer, trained on (Collins et al. 2021)
//   ditto        the site's own whole model, trained on and pulled to G (Li et al. 2021b)
//   fine_tuning  the published G, trained on; of a round's G nothing is made
// "Its own" are those of the step before, of G at the first.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/base/progress.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "site_agent/learner.h"

namespace consilium::site_agent {

struct PersonalModel {
  RunId run;
  plan::PersonalMethod method = plan::PersonalMethod::kNone;
  ModelId global;           // that it was made of last
  bool published = false;   // that is the published one
  std::uint32_t steps = 0;  // that made it
  ModelId id;
  fs::path file;
};

// A global model that has come, and what is to be done about it.
struct PersonalStep {
  RunId run;
  ModelId global;
  bool published = false;
  std::uint64_t seed = 0;  // of order and augmentation: another each site and step
};

class PersonalModels {
 public:
  // `folder`: STATE/personal; made when it is needed.
  explicit PersonalModels(fs::path folder) : folder_(std::move(folder)) {}

  // What there is of all runs, by name. A folder that cannot be read is left out.
  std::vector<PersonalModel> List() const;
  // kNotFound: there is none of this run. kDataLoss: it is not what was written.
  absl::StatusOr<PersonalModel> Find(const RunId& run) const;
  static absl::StatusOr<ModelState> Load(const PersonalModel& model);

  // Whether the step would do anything: the plan has a personal model, this global model counts
  // for its method and was not taken before.
  bool IsDue(const plan::Plan& plan, const PersonalStep& step) const;
  // Does it: trains, and keeps the result in place of the one before. Errors are the learner's and
  // the disk's; then the one before stays. Only the plan's own epochs.
  absl::Status Make(const plan::Plan& plan, const PersonalStep& step, const ModelState& global,
                    const datasets::Dataset& train, Learner& learner, Progress& progress) const;

 private:
  absl::Status Keep(const plan::Plan& plan, const PersonalStep& step, const ModelState& model,
                    std::uint32_t steps) const;
  fs::path FolderOf(const RunId& run) const { return folder_ / run.value; }
  const fs::path folder_;
};

// Which tensors of a layout stay a site's own: of local_norm and local_head those said above, of
// ditto all, else none.
std::vector<bool> OwnTensors(const Layout& layout, plan::PersonalMethod method);

// `global` with the tensors of `own` that OwnTensors names. kInvalidArgument: another layout.
absl::StatusOr<ModelState> WithOwn(const ModelState& global, const ModelState& own,
                                   plan::PersonalMethod method);

}  // namespace consilium::site_agent
