#pragma once

#include "datasets/audio/sound.h"
#include "datasets/dicom/data_set.h"
#include "datasets/refusal.h"

namespace consilium::datasets::audio {

// A DICOM waveform (PS3.3 C.10.9): the first multiplex group, its samples as they are stored, in
// any of the interpretations that the standard has (C.10.9.1.5). Of Basic Voice and General Audio
// the mean of the channels, of all else (ECG, pressures) the first channel, as the mean of leads
// means nothing. Channel sensitivities are not applied: what is learned from is relative.
//
// kNotARecording when there is no waveform, kUnsupportedSound, kDamaged.
OrRefused<Sound> ReadWaveform(const dicom::DataSet& file, const Part& part);

}  // namespace consilium::datasets::audio
