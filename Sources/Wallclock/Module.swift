// umbrella
