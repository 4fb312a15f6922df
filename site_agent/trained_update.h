#pragma once

// What training gave, on the site's own disk, before anybody is told: whatever attempt of the round
// needs it, after whatever crash, nobody trains again. It never leaves the building in this form.
//
// A file of sealed values (sealed_values.h), purpose "consilium site trained update v1", bound to
// TrainedRecord's run, round, base, seed and layout: the update's values in the layout's order.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/base/random.h"
#include "common/crypto/secret.h"
#include "common/model/model_state.h"
#include "site_agent/contribution.h"

namespace consilium::site_agent {

// What is known of it in site.db. Run, round, base and seed say which training it was.
struct TrainedRecord {
  RunId run;
  std::uint32_t round = 0;
  ModelId base;
  std::uint64_t seed = 0;  // of the round, as the coordinator named it
  std::uint64_t patients = 0, examples = 0;
  double loss = 0;  // mean of the last local epoch
  double seconds = 0;
  std::string layout_header;  // WriteSafetensorsHeader
  fs::path file;
};

// Writes the contribution's update, durably, to OUTBOX/<run>-<round>.trained, over what was there
// of the round; returns the record with its file and layout. In pieces: no further copy of the
// model is made. kInvalidArgument naming the tensor when a value is NaN or infinite. On every error
// no new file is left.
absl::StatusOr<TrainedRecord> KeepTrained(TrainedRecord record, const Contribution& contribution,
                                          const crypto::Secret& state_key, RandomSource& random,
                                          const fs::path& outbox);

// The update: its values in the base's layout. kNotFound: the file is gone; kDataLoss: it is not
// what was kept. Then the training is to be done again.
absl::StatusOr<ModelState> ReadTrained(const TrainedRecord& record,
                                       const crypto::Secret& state_key);

}  // namespace consilium::site_agent
