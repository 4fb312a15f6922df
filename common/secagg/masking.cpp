#include "common/secagg/masking.h"
