"""Adapters between this library and others, in both directions. Each needs the extra of its name.

============================= ========================================================================================
``to_shap``                   contributions as a ``shap.Explanation``, for the plots of SHAP
``captum_attribution``        an explainer as an attribution method of Captum; the way back is
                              :func:`robustxai.explainers.captum_explainer`
``quantus_metric``            P@k under attack, or proven, as a metric of Quantus
``quantus_explainer``         the explanation of a classifier, for the metrics of Quantus
``robustxai.integrations.mlflow``  ``save_model``, ``log_model`` and ``load_model``: a flavor of MLflow with safe files
============================= ========================================================================================
"""

from robustxai.integrations._captum import captum_attribution
from robustxai.integrations._quantus import quantus_explainer, quantus_metric
from robustxai.integrations._shap import to_shap

__all__ = ["captum_attribution", "quantus_explainer", "quantus_metric", "to_shap"]
