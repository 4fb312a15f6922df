#pragma once

// What all results of a model have in common: who made them, what they are called in the archive,
// and that they are for research use.

#include <string>

#include "absl/status/status.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "datasets/results/source_image.h"

namespace consilium::datasets::results {

inline constexpr char kResearchUse[] = "For research use only";
// The designator of codes that no scheme of the standard has (PS3.16 section 8): "99CONSILIUM".
inline constexpr char kOurScheme[] = "99CONSILIUM";

// The model as results name it. Texts of printable ASCII; of longer ones the first 64 characters
// count (48 in the picture).
struct ModelDescription {
  ModelId id;              // SHA-256 of its file; all zero: no model, and none is named
  std::string name;        // of its plan: "chest-opacity"
  std::string run;         // that made it: "chest-opacity-0003"; empty: not known
  std::string target;      // what it finds: the plan's [target] name
  std::string federation;  // that published it; empty: it was not published
  // Of a site's own model: how it was made and of which global model, "fine_tuning of
  // 3f2a9c01b2c4"; empty: it is a federation's.
  std::string personal;
};
// Its name as results have it: "chest-opacity", of a site's own "chest-opacity (personal)".
std::string AlgorithmName(const ModelDescription& model);

// The numbers are parts of UIDs and series numbers: append only.
enum class ResultKind { kSegmentation = 1, kReport = 2, kPicture = 3 };

// What a result is called. Made of the model, the image and the kind of result alone, so that a
// repeated prediction is the same object and not another one.
struct ResultName {
  std::string sop_instance_uid, series_instance_uid;
  int series_number = 0, instance_number = 0;
};
ResultName NameOf(ResultKind kind, const ModelId& model, const SourceImage& image);
// Of a whole series, of which `image` is one: `instances` stands for those that were there, so that
// a series that has grown since has another result.
ResultName NameOf(ResultKind kind, const ModelId& model, const SourceImage& image,
                  const Digest& instances);

}  // namespace consilium::datasets::results
