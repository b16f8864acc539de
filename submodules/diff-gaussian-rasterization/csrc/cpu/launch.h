// The CPU backend: backend.h's functions.
#pragma once
#define GSR_BACKEND cpu
#include "../backend.h"
