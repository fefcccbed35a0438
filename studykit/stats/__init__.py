"""Statistics of the perspective effect: do two opposite views of one walk give the same gait cycle?

`subjects` says who counts as one subject, `anova` repeats the published test and corrects it, `curves` finds where
in the cycle the views differ, `interaction` whether that depends on the trial, `agreement` asks whether they are
close enough, `mixed` treats scalars, and `calibration` measures how often each test errs where there is nothing to
find.
"""
