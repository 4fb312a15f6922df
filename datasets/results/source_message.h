#pragma once

// A source image as a part of a worker's message (worker/message.h). After a hostile file it is the
// attacker who wrote it, so that reading checks every field.

#include "datasets/results/source_image.h"
#include "datasets/worker/message.h"

namespace consilium::datasets::results {

void Write(worker::MessageWriter& message, const SourceImage& source);
// False when it is not sound, or the message is not.
bool Read(worker::MessageReader& message, SourceImage* source);

}  // namespace consilium::datasets::results
