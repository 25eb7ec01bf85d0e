"""What a trained classifier does on a split, in detail: classes, mistakes, calibration."""
