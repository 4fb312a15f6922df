#pragma once

// What a prediction says of one image, in the forms that its results take: findings of a report, a
// segmentation, a picture with its caption. One function of the plan's task; nothing is written.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datasets/results/report_writer.h"
#include "datasets/results/segmentation_writer.h"
#include "datasets/results/subject.h"
#include "site_agent/learning/predictor.h"
#include "site_agent/published_model.h"

namespace consilium::site_agent {

struct PredictionResults {
  // What people and programs read: "opacity" 0.81; a class or label each; of a segmentation the
  // part of the image that each structure takes, 0 to 1; of a detection the best score of each
  // kind.
  std::vector<std::pair<std::string, double>> scores;
  std::optional<bool> present;  // binary: by the record's threshold, where it establishes one
  std::vector<datasets::results::NewFinding> findings;
  // segmentation: the structures. binary, where `activation` was asked for: where the image spoke
  // for the finding.
  std::optional<datasets::results::NewSegmentation> segmentation;
  std::vector<float> overlay;        // of the picture: rows * columns of the image, 0 to 1
  std::vector<std::string> caption;  // lines below it
};

// A segment a structure of the plan, of a mask with a structure's number at each voxel.
std::vector<datasets::results::NewSegment> SegmentsOf(const std::vector<std::uint8_t>& mask,
                                                      const plan::Target& target);
// The first line below every picture, and the one that names the model.
std::string CaptionBegin();
std::string CaptionOf(const datasets::results::ModelDescription& model);

PredictionResults ResultsOf(const learning::Prediction& prediction,
                            const datasets::results::Subject& subject, const PublishedModel& model,
                            bool activation);

}  // namespace consilium::site_agent
