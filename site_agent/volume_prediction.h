#pragma once

// Each series as a volume (prediction.h). Files are gathered into series as they are given, by
// patient, study and series; a series that grows after it was scored is another one, and is scored
// anew.

#include <compare>
#include <map>
#include <optional>
#include <string>

#include "site_agent/prediction.h"

namespace consilium::site_agent {

class VolumePrediction final : public Prediction {
 public:
  VolumePrediction(const PredictionTools& tools, PredictionOptions options,
                   std::unique_ptr<learning::Predictor> predictor);
  absl::Status Run(std::span<const fs::path> files, PredictionReport* report,
                   Progress& progress) override;

 private:
  struct Key {
    std::string patient, study, series;
    auto operator<=>(const Key&) const = default;
  };
  struct Files {
    std::map<std::string, fs::path> by_instance;  // SOP instance UID
    Time grew{};                                  // when its last file was given
    bool is_new = true;                           // since it was last looked at
    std::optional<datasets::Refusal> refused;     // then
    std::uint64_t refused_files = 0;
  };

  void Add(const fs::path& file, const datasets::dicom::Header& header, PredictionReport* report);
  absl::Status Score(Files& series, PredictionReport* report);
  static void Refuse(Files& series, datasets::Refusal reason, PredictionReport* report);

  const PredictionTools tools_;
  const PredictionOptions options_;
  const std::unique_ptr<learning::Predictor> predictor_;
  std::map<Key, Files> series_;
};

}  // namespace consilium::site_agent
