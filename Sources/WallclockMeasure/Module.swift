// WallclockMeasure
