#pragma once

// Each image by itself (prediction.h).

#include <optional>
#include <string>

#include "site_agent/patient_columns.h"
#include "site_agent/prediction.h"

namespace consilium::site_agent {

class ImagePrediction final : public Prediction {
 public:
  ImagePrediction(const PredictionTools& tools, PredictionOptions options,
                  std::unique_ptr<learning::Predictor> predictor);
  absl::Status Run(std::span<const fs::path> files, PredictionReport* report,
                   Progress& progress) override;

 private:
  absl::Status Score(const fs::path& file, const std::string& patient_id, PredictionReport* report);

  const PredictionTools tools_;
  const PredictionOptions options_;
  const std::unique_ptr<learning::Predictor> predictor_;
  std::optional<PatientColumns> columns_;  // of plans with a table
};

}  // namespace consilium::site_agent
