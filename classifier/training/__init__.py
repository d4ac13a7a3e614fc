"""From labelled items to a bundle. Needs the train extra (torch, scikit-learn); serving imports none of it."""
