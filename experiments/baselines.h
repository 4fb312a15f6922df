#pragma once

// What the federated model is compared with: a model that each site trains alone, a model trained
// on all images in one place, and every model's result on every site's test patients. Made by
// `consilium-site train` and `evaluate` as child processes, as many at once as there are cores.

#include <map>
#include <string>
#include <vector>

#include "common/base/progress.h"
#include "common/metrics/task_sums.h"
#include "experiments/federation.h"
#include "experiments/results.h"

namespace consilium::experiments {

struct SiteData {
  std::string name;
  fs::path data;   // DICOM and labels.csv
  fs::path state;  // of its agent, which must not run at the same time
};

struct BaselinePlace {
  fs::path programs;
  fs::path plan;    // TOML file
  fs::path folder;  // models go here
  fs::path logs;
  int cores = 1;
};

struct ModelFile {
  ModelKind kind = ModelKind::kLocal;
  std::string site;  // kLocal, kPersonal
  fs::path file;
};

// FOLDER/local-NAME.safetensors for each site, in their order, then FOLDER/pooled.safetensors. What
// is there already is not trained again.
absl::StatusOr<std::vector<ModelFile>> TrainBaselines(const BaselinePlace& place,
                                                      const std::vector<SiteData>& sites,
                                                      std::uint32_t epochs, Progress& progress);
// What a model's tests add up to at each site.
struct ModelSums {
  ModelFile model;
  std::map<std::string, metrics::TaskSums> by_site;
};
// Each model on each site's test patients; a site's own (kPersonal) on that site's only.
absl::StatusOr<std::vector<ModelSums>> TestSums(const BaselinePlace& place,
                                                const std::vector<SiteData>& sites,
                                                const std::vector<ModelFile>& models,
                                                Progress& progress);
// The same as metrics, and of all sites together by adding their sums.
absl::StatusOr<std::vector<TestedModel>> TestModels(const BaselinePlace& place,
                                                    const std::vector<SiteData>& sites,
                                                    const std::vector<ModelFile>& models,
                                                    double at_specificity, Progress& progress);

}  // namespace consilium::experiments
