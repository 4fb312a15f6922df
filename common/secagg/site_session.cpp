#include "common/secagg/site_session.h"
