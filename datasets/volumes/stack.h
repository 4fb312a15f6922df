#pragma once

// From the slices of one series to volumes, by position and orientation and never by instance
// number (PS3.3 C.7.6.2). What does not make an even stack of parallel slices is refused with the
// reason in words; nothing is guessed. No files here: slices bring a way to load their pixels.

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "datasets/refusal.h"
#include "datasets/volumes/geometry.h"
#include "datasets/volumes/volume.h"

namespace consilium::datasets::volumes {

// What can tell apart slices at the same place. Slices that differ in one of the first four belong
// to different volumes; the others may differ from slice to slice of one volume (an acquisition
// number often does), so they count only where the slices do not make one volume otherwise.
enum class StackKey {
  kStackId,           // (0020,9056)
  kEcho,              // (0018,0086)
  kTemporalPosition,  // (0020,0100), (0020,9128)
  kBValue,            // (0018,9087)
  kImageType,         // (0008,0008) from its third value
  kEchoTime,          // (0018,0081), (0018,9082)
  kGradient,          // (0018,9089)
  kTriggerTime,       // (0018,1060), (0020,9153)
  kAcquisition,       // (0020,0012), (0020,9156)
  kAcquisitionTime,   // (0008,0032), (0018,9074)
};
inline constexpr std::size_t kStackKeys = 10, kSureStackKeys = 4;
std::string_view Name(StackKey key);  // "echo number"

struct Slice {
  Vec3 position{};                                   // centre of the first voxel (0020,0032)
  Vec3 row_direction{}, column_direction{};          // (0020,0037): along a row, down a column
  double row_spacing_mm = 0, column_spacing_mm = 0;  // (0028,0030): between rows, between columns
  std::uint32_t rows = 0, columns = 0;
  std::optional<double> gantry_tilt_degrees;  // (0018,1120)
  bool localiser = false;                     // (0008,0008) says LOCALIZER
  std::array<std::string, kStackKeys> keys;   // as the file says them; empty: it does not
  std::string frame_of_reference;             // opaque
  std::string instance;                       // opaque: the SOP instance UID
  std::uint32_t frame = 1;                    // within the instance, from 1
  // The modality values, row by row: rows * columns of them. Called when the volume is loaded.
  std::function<OrRefused<std::vector<float>>()> load;
};

struct StackOptions {
  enum class Tilt {
    kResample,  // onto a straight grid with the same slice planes
    kKeep,      // on its own, sheared grid
    kRefuse,
  };
  Tilt tilt = Tilt::kResample;
  bool split = true;  // a series of several stacks becomes several volumes; else it is refused
  std::uint32_t fewest_slices = 2;
  // How far a distance between neighbours may be from the median one.
  double spacing_tolerance_mm = 0.02, spacing_tolerance_fraction = 0.02;
  double angle_tolerance_degrees = 0.1;  // between slices, and of what counts as a tilt
};

// Slices in the order of the grid's third axis, which is that of the normal: the grid is
// right-handed. A tilted stack lies on a sheared grid.
struct Stack {
  Grid grid;
  bool tilted = false;
  std::vector<Slice> slices;
  std::string frame_of_reference;
  // What sets it apart from the other stacks of its series: "echo number 2"; empty if it is alone.
  std::string what;
};

// All stacks of a series, or why it is not used. Thread-safe.
OrRefused<std::vector<Stack>> FindStacks(std::vector<Slice> slices, const StackOptions& options);

// The voxels of a stack in modality units; of a tilted one as options.tilt says, with `outside`
// where the straight grid has no slice. The slices' loaders are called one after the other.
OrRefused<Volume> LoadVolume(const Stack& stack, const StackOptions& options, float outside);

}  // namespace consilium::datasets::volumes
