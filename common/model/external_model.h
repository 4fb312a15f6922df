#pragma once

// A model file that others wrote, and how its tensors become those of one of our networks.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/model/model_state.h"

namespace consilium {

struct ExternalTensor {
  TensorSpec spec;
  std::string dtype;                    // "F32", "BF16" ...
  std::uint64_t offset = 0, bytes = 0;  // in the file
};

// The header of any safetensors file (safetensors.h), of any dtype and order. `beginning` holds the
// header whole. kInvalidArgument: it is none, or a tensor lies beyond the file.
absl::StatusOr<std::vector<ExternalTensor>> ReadExternalHeader(ByteView beginning,
                                                               std::uint64_t file_size);

class ExternalModel {
 public:
  static absl::StatusOr<ExternalModel> Open(const fs::path& path);
  const std::vector<ExternalTensor>& tensors() const { return tensors_; }
  // Converted from F32, F64, F16, BF16 or whole numbers. kInvalidArgument: another dtype, a size
  // that does not fit the shape, or a value that is no finite float32.
  absl::StatusOr<std::vector<float>> Read(const ExternalTensor& tensor) const;

 private:
  ExternalModel(File file, std::vector<ExternalTensor> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}
  File file_;
  std::vector<ExternalTensor> tensors_;
};

struct MappingOptions {
  // Beginnings of names: what begins with the first begins with the second instead. The first that
  // fits is used.
  std::vector<std::pair<std::string, std::string>> renames;
  // The last layer keeps its start where the file's is missing or of another size.
  bool skip_head = false;
};

struct MappedModel {
  struct Row {
    TensorSpec tensor;   // of the network; a name alone for what is not used
    std::string from;    // name in the file; empty: it keeps its start
    std::string remark;  // why not
    bool refused = false;
  };
  std::vector<Row> rows;            // in the network's order
  std::vector<std::string> unused;  // names in the file
  std::string prefix;               // that was taken from the file's names
  std::size_t refused = 0;          // rows; with any there is no model
  std::vector<float> values;        // in the layout of `start`
};

// Gives the tensors of `start` the values of those of the same name, after the renames and without
// the prefix that most of the file's names have ("module.", "model.", "backbone." ...). Every
// tensor must be there with its shape, but for counts of batches, a table's preparation and, with
// skip_head, the last layer. Errors are those of reading.
absl::StatusOr<MappedModel> MapModel(const ExternalModel& external, const ModelState& start,
                                     const MappingOptions& options);

}  // namespace consilium
