#pragma once

#include "datasets/audio/sound.h"
#include "datasets/dicom/data_set.h"
#include "datasets/refusal.h"

namespace consilium::datasets::audio {

bool IsWave(dicom::ByteSource& source);

// A WAV file: RIFF/WAVE (Microsoft and IBM, "Multimedia Programming Interface and Data
// Specifications 1.0", 1991), little endian: PCM of 8 (unsigned), 16, 24 and 32 bits, IEEE floats
// of 32 bits, plain or WAVE_FORMAT_EXTENSIBLE, one channel or several, whose mean is taken. A data
// chunk of 0xFFFFFFFF bytes, as recorders write that did not live to close the file, lasts to its
// end. Lengths are checked against the file before anything is read.
//
// Written here and not left to a library: hospitals need these few forms, in a hundred lines that
// are fuzzed whole, of a library's two dozen formats.
//
// kNotARecording, kDamaged, kUnsupportedSound with what the file says.
OrRefused<Sound> ReadWave(dicom::ByteSource& source, const Part& part);

}  // namespace consilium::datasets::audio
