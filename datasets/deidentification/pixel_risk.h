#pragma once

// What an instance's pixels may show of the patient, judged from its header alone. Internal to this
// folder.

#include <cstdint>
#include <string>
#include <vector>

class DcmItem;

namespace consilium::datasets::deidentification {

// In pixels, from the top left corner.
struct Rectangle {
  std::uint32_t x = 0, y = 0, width = 0, height = 0;
};

struct PixelRisk {
  // Why text may be burned in ("secondary capture"); empty: nothing points to it.
  std::string burned_in;
  // Of ultrasound: what may stay (Sequence of Ultrasound Regions, PS3.3 C.8.5.5.1.1); all else is
  // the machine's screen around the image. Empty: the file does not say.
  std::vector<Rectangle> ultrasound_regions;
  bool face = false;  // a head in CT, MR or PET
};
PixelRisk AssessPixels(DcmItem& data_set);

// Whether the header says of a CT, MR or PET that it shows a head: body part, anatomic region, or a
// word in a description. False when it says nothing of the body part, or says that there are no
// recognizable features (0028,0302).
bool ShowsHead(DcmItem& data_set);

}  // namespace consilium::datasets::deidentification
