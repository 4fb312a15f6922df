#include "common/secagg/messages.h"
