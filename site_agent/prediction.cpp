#include "site_agent/prediction.h"

#include "common/base/status.h"
#include "site_agent/image_prediction.h"
#include "site_agent/volume_prediction.h"

namespace consilium::site_agent {

absl::StatusOr<std::unique_ptr<Prediction>> Prediction::Create(const PredictionTools& tools,
                                                               PredictionOptions options) {
  const plan::Plan& plan = tools.model.plan;
  CONSILIUM_CHECK(plan.data.source == plan::Source::kDicom);
  ASSIGN_OR_RETURN(auto predictor, learning::Predictor::Create(tools.model.state, plan));
  if (plan.preprocessing.slices > 0) {
    return std::make_unique<VolumePrediction>(tools, std::move(options), std::move(predictor));
  }
  return std::make_unique<ImagePrediction>(tools, std::move(options), std::move(predictor));
}

}  // namespace consilium::site_agent
