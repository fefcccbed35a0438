"""From tracks to gait: views of one walk laid together, cleaning, events, cycles."""
