from greenpose.data.synthetic import admit


def frames(spec, patient, indices):
    """Return the asked-for frames of one patient, in the order asked for."""
    one = admit(spec, patient)
    return [one.frame(index) for index in indices]
