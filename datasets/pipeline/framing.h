#pragma once

// Which part of an image the network sees, and which way round.

#include <string>

#include "common/plan/plan.h"
#include "datasets/image.h"
#include "datasets/pipeline/hints.h"

namespace consilium::datasets::pipeline {

struct Framing {
  Box box;  // what is kept of the image
  // The rectangle that the square shows the longer side of, about its centre; of a retina's disc it
  // may reach beyond the image. Positions as in placement.h.
  double centre_column = 0, centre_row = 0;
  double columns = 0, rows = 0;
  bool mirrored = false;
  std::string crop_words, mirror_words;  // what was done and why
};

// What preprocessing.crop and face_left make of the image. Where no object is found and no region
// declared, the whole image. Tissue lies where most of it is seen; what the header says of it
// decides only where less than 55 % lies on one side.
Framing Frame(const Image& image, const plan::Preprocessing& preprocessing, const Hints& hints);

// The box of the image, mirrored if so.
Image Cut(const Image& image, const Box& box, bool mirrored);

}  // namespace consilium::datasets::pipeline
