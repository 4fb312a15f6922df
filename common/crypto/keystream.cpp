#include "common/crypto/keystream.h"
