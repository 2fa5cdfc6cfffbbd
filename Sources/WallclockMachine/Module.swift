// WallclockMachine
