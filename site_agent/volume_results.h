#pragma once

// What a prediction says of a series as a volume: the structures outlined in it.

#include <string>
#include <utility>
#include <vector>

#include "datasets/refusal.h"
#include "datasets/results/volume_subject.h"
#include "site_agent/learning/predictor.h"
#include "site_agent/published_model.h"
#include "site_agent/result_files.h"

namespace consilium::site_agent {

struct VolumeResults {
  std::vector<std::pair<std::string, double>> scores;      // the part of the series that each takes
  std::vector<std::pair<std::string, double>> volumes_ml;  // of each structure
  // A finding a structure, with its volume; a segmentation on the series' own voxels; a picture of
  // a few slices.
  ResultSet set;
};

// `instances`: which the series has. Says in report and picture where the input shows only a part
// of the series. Refusals as volumes::ResampleMask.
datasets::OrRefused<VolumeResults> ResultsOf(const learning::Prediction& prediction,
                                             const datasets::results::VolumeSubject& subject,
                                             const Digest& instances, const PublishedModel& model,
                                             bool picture);

}  // namespace consilium::site_agent
