#pragma once

namespace consilium::experiments {

// experiments/plans/*.toml, built in.
extern const char kHeartDiseasePlan[];
extern const char kBreastCancerSurvivalPlan[];
extern const char kIcuMortalityPlan[];
extern const char kChestXrayPlan[];
extern const char kBrainMriSegmentationPlan[];
extern const char kBrainMriDetectionPlan[];
extern const char kBreastUltrasoundPlan[];
extern const char kCovidPrognosisPlan[];
extern const char kHeartSoundsPlan[];
extern const char kHippocampusPlan[];

}  // namespace consilium::experiments
