#include "common/model/quantizer.h"
