#pragma once

// What `consilium-site predict` says: of the model, of images and series, of rows; in words and as
// JSON.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "common/base/file.h"
#include "site_agent/prediction.h"
#include "site_agent/row_prediction.h"

namespace consilium::site_agent {

// What was sent, of several calls.
struct SentResults {
  std::uint64_t sent = 0, before = 0;
  std::map<std::string, std::uint64_t> refused;
};

// Which model was proved, and what it is that answers.
std::string Introduce(const PublishedModel& model);
std::string AnswersOf(const PublishedModel& model);

std::string InWords(const PredictionReport& report, const std::optional<SentResults>& sent);
// `data`: the folder that files are named below.
std::string ToJson(const PublishedModel& model, const PredictionReport& report,
                   const std::optional<SentResults>& sent, const fs::path& data);

// `file`: the CSV.
std::string InWords(const RowPredictions& predictions, const fs::path& file);
std::string ToJson(const PublishedModel& model, const RowPredictions& predictions,
                   const fs::path& file);

}  // namespace consilium::site_agent
