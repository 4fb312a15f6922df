#pragma once

// A study: how the files of one public research set become the folders of hospitals, and the plan
// that is trained on them. Adding one is a file NAME.cpp here, a plan in ../plans and a line in
// study.cpp.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/plan/plan.h"

namespace consilium::experiments {

struct StudyInput {
  fs::path data;                      // the set's folder, as its publisher has it
  fs::path test;                      // another folder of the same form, tested on; empty: none
  std::vector<std::string> held_out;  // sites that are tested on without having trained
  std::uint64_t seed = 1;             // of splits that the set does not fix
};

struct StudySite {
  std::string name;         // grammar of ids.h
  fs::path folder;          // NAME.csv of a table, or DICOM with labels.csv
  std::string description;  // "174 training, 25 validation, 104 test rows"
  bool trains = true;       // false: it only tests
};

struct PreparedStudy {
  std::vector<StudySite> sites;    // at least three of which train
  std::vector<std::string> notes;  // what a reader must know of the split, in sentences
};

// What is compared, of one test set; larger is better.
enum class Figure {
  kHeadline,  // the task's (base/task.h)
  kAccuracy,  // of a binary task, at probability 0.5
};
std::string_view TitleOf(Figure figure, Task task);

struct Study {
  std::string_view name;   // of the command, and of the plan
  std::string_view title;  // of the page
  Figure figure = Figure::kHeadline;
  std::string_view plan;       // TOML
  std::string_view citations;  // of the data, with its licence
  // Writes each site's folder below `out`, a new folder. The same input gives the same files.
  // kNotFound, kInvalidArgument: what is missing or wrong in `input.data`, and what was expected.
  absl::StatusOr<PreparedStudy> (*prepare)(const StudyInput& input, const plan::Plan& plan,
                                           const fs::path& out) = nullptr;
};

std::span<const Study> Studies();
// kInvalidArgument naming all that there are.
absl::StatusOr<const Study*> FindStudy(std::string_view name);

absl::StatusOr<PreparedStudy> PrepareHeartDisease(const StudyInput& input, const plan::Plan& plan,
                                                  const fs::path& out);
absl::StatusOr<PreparedStudy> PrepareBreastCancerSurvival(const StudyInput& input,
                                                          const plan::Plan& plan,
                                                          const fs::path& out);
absl::StatusOr<PreparedStudy> PrepareIcuMortality(const StudyInput& input, const plan::Plan& plan,
                                                  const fs::path& out);
absl::StatusOr<PreparedStudy> PrepareChestXray(const StudyInput& input, const plan::Plan& plan,
                                               const fs::path& out);
absl::StatusOr<PreparedStudy> PrepareBrainMri(const StudyInput& input, const plan::Plan& plan,
                                              const fs::path& out);
absl::StatusOr<PreparedStudy> PrepareBreastUltrasound(const StudyInput& input,
                                                      const plan::Plan& plan, const fs::path& out);
absl::StatusOr<PreparedStudy> PrepareCovidPrognosis(const StudyInput& input, const plan::Plan& plan,
                                                    const fs::path& out);
absl::StatusOr<PreparedStudy> PrepareHippocampus(const StudyInput& input, const plan::Plan& plan,
                                                 const fs::path& out);
absl::StatusOr<PreparedStudy> PrepareHeartSounds(const StudyInput& input, const plan::Plan& plan,
                                                 const fs::path& out);

}  // namespace consilium::experiments
